from __future__ import annotations

from interactem.engine.indexes import pip_files, read_pip_configuration, uv_environment


def test_pips_index_holds_for_uv():
    pip = {"index-url": "https://site/simple", "extra-index-url": "https://a\nhttps://b", "find-links": "/x /y"}
    assert uv_environment({"PATH": "/bin"}, pip, system_certificates=False) == {
        "PATH": "/bin",
        "UV_DEFAULT_INDEX": "https://site/simple",
        "UV_INDEX": "https://a https://b",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/x,/y",
        "UV_PYTHON_DOWNLOADS": "never",
    }


def test_pips_variables_win_over_its_files_and_uvs_own_over_both():
    pip = {"index-url": "https://file", "extra-index-url": "https://file-too"}
    environment = {"PIP_INDEX_URL": "https://variable", "UV_EXTRA_INDEX_URL": "https://uv"}
    result = uv_environment(environment, pip, system_certificates=False)
    assert result["UV_DEFAULT_INDEX"] == "https://variable"
    assert "UV_INDEX" not in result
    assert "UV_DEFAULT_INDEX" not in uv_environment({"UV_INDEX_URL": "https://uv"}, pip, system_certificates=False)


def test_the_sites_certificates_are_used():
    assert uv_environment({}, {}, system_certificates=True)["UV_SYSTEM_CERTS"] == "1"
    named = uv_environment({}, {"cert": "/ca.pem"}, system_certificates=True)
    assert named["SSL_CERT_FILE"] == "/ca.pem"
    assert "UV_SYSTEM_CERTS" not in named


def test_nothing_sends_the_packages_elsewhere():
    elsewhere = {"UV_SYSTEM_PYTHON": "1", "UV_TARGET": "/x", "VIRTUAL_ENV": "/y"}
    assert uv_environment(elsewhere, {}, system_certificates=False) == {"UV_PYTHON_DOWNLOADS": "never"}


def test_later_files_and_sections_win(tmp_path):
    one, two, broken = tmp_path / "1.conf", tmp_path / "2.conf", tmp_path / "3.conf"
    one.write_text("[global]\nindex-url = https://one\nfind-links = /100%\n[list]\nindex-url = no\n")
    two.write_text("[global]\nindex_url = https://two\n[install]\nindex-url = https://install\n")
    broken.write_text("no section\n")
    read = read_pip_configuration([one, two, broken, tmp_path / "absent"])
    assert read == {"index-url": "https://install", "find-links": "/100%"}


def test_the_named_file_is_the_last(tmp_path):
    files = pip_files({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/etc/own.conf"})
    assert str(files[-1]) == "/etc/own.conf"
    assert tmp_path / ".config" / "pip" / "pip.conf" in files
