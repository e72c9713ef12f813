"""`python tests/chaos`: pipelines run while they are disturbed. See docs/reliability.md."""

from chaos.command import main

if __name__ == "__main__":
    raise SystemExit(main())
