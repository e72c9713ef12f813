"""Path mapping rules: which one is about a path, and where the path is then."""

from __future__ import annotations

import json
from pathlib import PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interactem.runtime.errors import PathMappingError
from interactem.runtime.path_mapping import PathRule, map_path, parse_rules


def rule(source, destination="/here", format="POSIX"):
    return PathRule(format, source, destination)


@pytest.mark.parametrize(
    ("source", "path", "mapped"),
    [
        ("/mnt/a", "/mnt/a", "/here"),
        ("/mnt/a", "/mnt/a/b/c.mib", "/here/b/c.mib"),
        ("/mnt/a/", "/mnt/a/b", "/here/b"),
        ("/mnt/a", "/mnt/a/", "/here/"),
        ("/mnt/a", "/mnt//a/./b/", "/here/b/"),
        ("/mnt/a", "//mnt/a/b", "/here/b"),
        ("/mnt/a", "/mnt/ab", None),
        ("/mnt/a", "/mnt", None),
        ("/mnt/a", "/MNT/A/b", None),
        ("/mnt/a", "mnt/a/b", None),
        ("/mnt/a", "", None),
        ("/mnt/a", "/mnt/a/../b", None),
        ("/mnt/a", "/mnt/x/../a/b", "/here/b"),
        ("/mnt/a", "/../../mnt/a/b", "/here/b"),
        ("/", "/anything", "/here/anything"),
        ("/mnt/a b", "/mnt/a b/c d", "/here/c d"),
        ("/mnt/a", "/mnt/a/b\\c", "/here/b\\c"),
    ],
)
def test_posix(source, path, mapped):
    assert rule(source).apply(path) == mapped


@pytest.mark.parametrize(
    ("source", "path", "mapped"),
    [
        ("C:\\Data", "C:\\Data\\Scan 1\\x.mib", "/here/Scan 1/x.mib"),
        ("C:\\Data", "c:/DATA/Scan 1", "/here/Scan 1"),
        ("c:/data", "C:\\Data\\", "/here/"),
        ("C:\\Data", "C:\\Database", None),
        ("C:\\Data", "D:\\Data\\x", None),
        ("C:\\Data", "C:Data\\x", None),
        ("C:\\Data", "\\Data\\x", None),
        ("C:\\Data", "/Data/x", None),
        ("C:\\", "c:\\x", "/here/x"),
        ("\\\\Server\\Share\\a", "\\\\server\\SHARE\\A\\b", "/here/b"),
        ("\\\\Server\\Share", "//server/share/b", "/here/b"),
        ("\\\\Server\\Share", "\\\\server\\shared\\b", None),
        ("C:\\Data", "C:\\Data\\..\\Other", None),
        ("C:\\STRASSE", "c:\\straße\\x", None),  # to Windows these are two
    ],
)
def test_windows(source, path, mapped):
    assert rule(source, format="WINDOWS").apply(path) == mapped


def test_the_first_rule_that_matches_wins():
    rules = [rule("/a/b", "/first"), rule("/a", "/second"), rule("/a/b", "/never")]
    assert map_path(rules, "/a/b/c") == "/first/c"
    assert map_path(rules, "/a/c") == "/second/c"
    assert map_path([rule("/a", "/wide"), rule("/a/b", "/narrow")], "/a/b/c") == "/wide/b/c"


def test_a_path_that_no_rule_is_about_stays_as_it_is():
    assert map_path([rule("/a")], "./b//c/../d/") == "./b//c/../d/"
    assert map_path([], "/a") == "/a"


def test_a_destination_may_end_with_a_slash():
    assert rule("/a", "/here/").apply("/a/b") == "/here/b"
    assert rule("/a", "/").apply("/a") == "/"
    assert rule("/a", "/").apply("/a/") == "/"


def test_a_mapped_path_is_not_mapped_again():
    assert map_path([rule("/a", "/b"), rule("/b", "/c")], "/a/x") == "/b/x"


names = st.text(
    st.characters(blacklist_characters='/\\:*?"<>|\0', blacklist_categories=["Cs", "Cc"]), min_size=1
).filter(lambda name: name.strip(". ") == name)


@given(st.lists(names, min_size=1, max_size=3), st.lists(names, max_size=3))
def test_what_is_below_a_source_is_below_the_destination(above, below):
    expected = "/".join(["/here", *below])
    assert rule("/" + "/".join(above)).apply("/".join(["", *above, *below])) == expected
    windows = rule("C:\\" + "\\".join(above), format="WINDOWS")
    assert windows.apply(str(PureWindowsPath("c:/", *above, *below))) == expected


def test_rules_are_read_from_json():
    value = {
        "path_mapping_rules": [
            {"source_path_format": "WINDOWS", "source_path": "Z:\\scans", "destination_path": "/data/scans"},
            {"source_path_format": "POSIX", "source_path": "/nfs", "destination_path": "/data"},
        ]
    }
    rules = parse_rules(json.dumps(value))
    assert rules == (rule("Z:\\scans", "/data/scans", "WINDOWS"), rule("/nfs", "/data"))
    assert parse_rules(json.dumps({"version": "pathmapping-1.0", **value})) == rules
    assert parse_rules('{"path_mapping_rules": []}') == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"path_mapping_rules": {}}', "null"])
def test_what_are_no_rules(text):
    with pytest.raises(PathMappingError, match="path mapping rules are"):
        parse_rules(text)


def test_everything_that_is_wrong_is_said_at_once():
    value = {
        "path_mapping_rules": [
            7,
            {"source_path_format": "posix", "source_path": "/a", "destination_path": "/b"},
            {"source_path_format": "POSIX", "source_path": "a", "destination_path": "b"},
            {"source_path_format": "WINDOWS", "source_path": "C:a", "destination_path": "/b"},
            {"source_path_format": "WINDOWS", "source_path": "", "to": "/b"},
        ],
        "rules": [],
    }
    with pytest.raises(PathMappingError) as caught:
        parse_rules(json.dumps(value))
    assert [problem.replace("$.path_mapping_rules", "") for problem in caught.value.problems] == [
        "$.rules: unknown key; known keys: path_mapping_rules",
        '[0]: should be an object; write {"path_mapping_rules": [{"source_path_format": "POSIX", "source_path": …, '
        '"destination_path": …}]}',
        "[1].source_path_format: 'posix' is not one; give POSIX or WINDOWS",
        "[2].source_path: 'a' is not an absolute path of POSIX",
        "[2].destination_path: 'b' is not an absolute path of this machine",
        "[3].source_path: 'C:a' is not an absolute path of WINDOWS",
        "[4].to: unknown key; known keys: source_path_format, source_path, destination_path",
        "[4].source_path: should be a text that is not empty",
        "[4].destination_path: should be a text that is not empty",
    ]
