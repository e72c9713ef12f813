import pytest
def test_plain(project, chain, exactly_once):
    done = project.run(chain(100))
    print(done)
    assert done.code == 0
    exactly_once(project, 100)
@pytest.mark.parametrize("mode", ["raise", "exit", "quit", "segfault", "memory", "wrong", "hang", "hold"])
def test_t(project, chain, exactly_once, mode):
    done = project.run(chain(20, trouble={"mode": mode, "every": 7}, timeout=2.0, max_attempts=2))
    print(done.json, done.err)
    dead=project.do("pipeline","dead","ls","last","--json").json
    for d in dead: print(d["id"],d["operator"],d["error"],d["traceback"],d["attempts"])
    exactly_once(project, 20, without=(0,7,14))
    assert len(dead)==3
    assert done.code == 1
