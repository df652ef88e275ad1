"""From groups to a plan: who stays, who goes, and why a file is left."""

import os
from dataclasses import replace

import pytest

from imkin.actions import Wish, make_plan
from imkin.bundles import look
from imkin.catalogue import Database
from imkin.errors import UsageError
from imkin.plan import Beside, Own, Seen, edited
from imkin.policy import Facts, Terms, parse_rules, plan
from imkin.policy.planning import ALL_PAIRS_UP_TO, CHAINED
from imkin.types import File


def photo(path, *, size=1000, content="", width=400, source="file", kind="JPEG"):
    sha256 = (content or path).encode().hex().ljust(64, "0")[:64]
    return File(path, size, 5, sha256, "00" * 20, width, 300, kind, source)


def near(*pairs, similarity=0.95):
    table = {frozenset(pair): similarity for pair in pairs}
    return lambda a, b: table.get(frozenset((a, b)))


def all_near(_a, _b):
    return 0.95


class Folder:
    """Bundles out of a table, without a disk."""

    def __init__(self, table, *, unreadable=(), equal=()):
        self.table = {path: tuple(Beside(other, kind) for other, kind in rows) for path, rows in table.items()}
        self.unreadable, self.equal = unreadable, equal

    def of(self, path):
        return self.table.get(path, ())

    def seen(self, path):
        return None if path in self.unreadable else Seen(path, 10, 5, self.sha256(path))

    def sha256(self, path):
        return "ab" * 32 if path in self.equal else path.encode().hex().ljust(64, "0")[:64]


def make(files, similarity=all_near, *, groups=None, verb="trash", keep="first", roots=("/p",), **terms):
    rules = parse_rules(keep)
    groups = [range(len(files))] if groups is None else groups
    return plan(groups, files, similarity=similarity, terms=Terms(verb, rules, roots, **terms))


def words(made, group=0):
    return {os.path.basename(member.file.path): member.do for member in made.groups[group]}


def why(made, group=0):
    return {os.path.basename(member.file.path): member.why for member in made.groups[group]}


def test_every_file_near_the_kept_one_goes_and_the_plan_says_why():
    made = make([photo("/p/a"), photo("/p/b", width=800), photo("/p/c")], keep="resolution")
    assert words(made) == {"b": "keep", "a": "trash", "c": "trash"}
    assert why(made) == {"b": "largest: 800x300 (others at most 400x300)", "a": "0.9500 to /p/b", "c": "0.9500 to /p/b"}
    assert [(a.file.path, a.keep.path, a.similarity, a.bytes_won) for a in made.actions] == [
        ("/p/a", "/p/b", 0.95, 1000),
        ("/p/c", "/p/b", 0.95, 1000),
    ]


def test_a_file_linked_only_through_others_is_left():
    made = make([photo("/p/a"), photo("/p/b"), photo("/p/c")], near((0, 1), (1, 2)))
    assert words(made) == {"a": "keep", "b": "trash", "c": "leave"}
    assert why(made)["c"] == CHAINED
    assert [member.file.path for member in made.left] == ["/p/c"]


def test_a_reference_folder_is_kept_and_preferred_and_all_of_it_counts():
    files = [photo("/p/a", width=800), photo("/ref/b"), photo("/ref/c", width=500), photo("/p/d"), photo("/p/e")]
    similar = near((0, 2), (1, 3), (0, 4))
    made = make(files, similar, keep="resolution", reference_roots=("/ref",))
    assert words(made) == {"c": "keep", "b": "keep", "a": "trash", "d": "trash", "e": "leave"}
    assert why(made)["c"] == "in a reference folder; largest: 500x300 (others at most 400x300)"
    assert why(made)["b"] == "in a reference folder"
    assert [action.keep.path for action in made.actions] == ["/ref/c", "/ref/b"]
    by_index = make([photo("/p/a", width=800), photo("/p/b")], keep="resolution", reference={1})
    assert words(by_index) == {"b": "keep", "a": "trash"}


def test_a_file_that_must_stay_is_left_with_its_reason():
    made = make([photo("/p/a"), photo("/p/b"), photo("/p/c")], fixed={1: "on loan"})
    assert words(made) == {"a": "keep", "b": "leave", "c": "trash"}
    assert why(made)["b"] == "on loan"


def test_what_is_no_file_of_its_own_or_lies_outside_is_not_in_a_plan():
    files = [photo("/p/a"), photo("/p/film.mp4#3", source="video"), photo("/elsewhere/b"), photo("/p/c")]
    assert words(make(files)) == {"a": "keep", "c": "trash"}
    assert make(files[:2]).groups == ()


def test_a_hard_link_of_the_kept_file_is_left():
    made = make([photo("/p/a"), photo("/p/b"), photo("/p/c")], same_file=lambda a, b: {a, b} == {0, 1})
    assert words(made) == {"a": "keep", "b": "leave", "c": "trash"}
    assert why(made)["b"] == "a hard link of /p/a: nothing to win"


def test_what_a_person_decided_outweighs_what_was_measured():
    files = [photo("/p/a", content="A"), photo("/p/b", content="B"), photo("/p/c", content="C")]
    verdicts = {("41", "42"): "different", ("41", "43"): "same"}

    def decided(a, b):
        return verdicts.get(tuple(sorted((a[:2], b[:2]))))

    made = make(files, near((0, 1), (1, 2)), decided=decided)
    assert words(made) == {"a": "keep", "b": "leave", "c": "trash"}
    assert why(made)["b"] == "marked as different from /p/a"
    assert why(made)["c"] == "marked as the same as /p/a"
    assert made.actions[0].similarity is None


def test_the_best_of_each_folder_may_be_kept():
    files = [
        photo("/p/x/a", width=900),
        photo("/p/x/b", width=800),
        photo("/p/x/c", width=700),
        photo("/p/y/d", width=300),
        photo("/p/y/e", width=600),
    ]
    one = make(files, keep="resolution", keep_per_folder=1)
    assert words(one) == {"a": "keep", "e": "keep", "b": "trash", "c": "trash", "d": "trash"}
    two = make(files, keep="resolution", keep_per_folder=2)
    assert words(two) == {"a": "keep", "b": "keep", "e": "keep", "d": "keep", "c": "trash"}
    assert why(two)["e"] == "largest: 600x300 (others at most 300x300)"


def test_with_several_kept_files_the_nearest_counts():
    files = [photo("/p/x/a"), photo("/p/y/b"), photo("/p/y/c")]
    table = {frozenset((0, 2)): 0.91, frozenset((1, 2)): 0.99, frozenset((0, 1)): 0.95}
    made = make(files, lambda a, b: table.get(frozenset((a, b))), keep_per_folder=1)
    assert [(a.file.path, a.keep.path, a.similarity) for a in made.actions] == [("/p/y/c", "/p/y/b", 0.99)]


def test_companions_go_with_their_image():
    bundles = Folder({"/p/b.jpg": [("/p/b.xmp", "sidecar"), ("/p/b.txt", "label")]})
    made = make([photo("/p/a.jpg"), photo("/p/b.jpg")], bundles=bundles)
    (action,) = made.actions
    assert [each.path for each in action.bundle] == ["/p/b.xmp", "/p/b.txt"]
    assert action.bytes_won == 1020


def test_a_link_leaves_companions_in_place():
    bundles = Folder({"/p/b.jpg": [("/p/b.xmp", "sidecar"), ("/p/b.mov", "video")]})
    (action,) = make([photo("/p/a.jpg"), photo("/p/b.jpg")], verb="hardlink", bundles=bundles).actions
    assert action.bundle == ()


@pytest.mark.parametrize("kind", ["raw", "video", "image"])
def test_an_image_stays_if_a_companion_of_its_own_content_has_no_counterpart(kind):
    bundles = {"/p/b.jpg": [("/p/b.own", kind)]}
    made = make([photo("/p/a.jpg"), photo("/p/b.jpg")], bundles=Folder(bundles))
    assert words(made) == {"a.jpg": "keep", "b.jpg": "leave"}
    reason = "/p/b.own, which belongs to it, has no counterpart of the same bytes beside the kept file"
    assert why(made)["b.jpg"] == reason
    bundles |= {"/p/a.jpg": [("/p/a.own", kind)]}
    other = make([photo("/p/a.jpg"), photo("/p/b.jpg")], bundles=Folder(bundles))
    assert words(other) == {"a.jpg": "keep", "b.jpg": "leave"}
    assert why(other)["b.jpg"] == reason
    same = make(
        [photo("/p/a.jpg"), photo("/p/b.jpg")], bundles=Folder(bundles, equal=("/p/a.own", "/p/b.own")), verb="delete"
    )
    assert words(same) == {"a.jpg": "keep", "b.jpg": "delete"}
    assert same.groups[0][1].own == (Own("/p/b.own", kind),)


def test_a_raw_may_rest_on_the_same_bytes_in_a_reference_folder():
    table = {"/p/a.jpg": [("/p/a.cr2", "raw")], "/r/b.jpg": [("/r/b.cr2", "raw")]}
    files = [photo("/p/a.jpg"), photo("/r/b.jpg")]
    same = make(files, bundles=Folder(table, equal=("/p/a.cr2", "/r/b.cr2")), reference_roots=("/r",))
    assert words(same) == {"b.jpg": "keep", "a.jpg": "trash"}
    assert words(make(files, bundles=Folder(table), reference_roots=("/r",)))["a.jpg"] == "leave"


def test_the_files_of_a_plan_cannot_change_places_if_a_raw_would_be_lost():
    table = {"/p/k.jpg": [("/p/k.dng", "raw"), ("/p/k.xmp", "sidecar")]}
    made = make([photo("/p/k.jpg"), photo("/p/s.jpg")], bundles=Folder(table))
    assert words(made) == {"k.jpg": "keep", "s.jpg": "trash"}
    with pytest.raises(UsageError, match=r"group 1: /p/k\.dng, which belongs to /p/k\.jpg, has no counterpart"):
        edited(made, {"/p/k.jpg": "trash", "/p/s.jpg": "keep"})
    table |= {"/p/s.jpg": [("/p/s.dng", "raw")]}
    twins = Folder(table, equal=("/p/k.dng", "/p/s.dng"))
    swapped = edited(
        make([photo("/p/k.jpg"), photo("/p/s.jpg")], bundles=twins), {"/p/k.jpg": "trash", "/p/s.jpg": "keep"}
    )
    assert [action.file.path for action in swapped.actions] == ["/p/k.jpg"]


def test_a_raw_that_was_compared_itself_may_change_places_with_what_it_is_near():
    shot = {"/p/a.jpg": [("/p/a.cr2", "raw")], "/p/a.cr2": [("/p/a.jpg", "image")]}
    files = [photo("/p/a.jpg"), photo("/p/b.jpg"), photo("/p/a.cr2", kind="RAW")]
    swap = {"/p/a.jpg": "trash", "/p/b.jpg": "keep"}
    (action,) = edited(make(files, bundles=Folder(shot)), swap).actions
    assert [each.path for each in action.bundle] == ["/p/a.cr2"]
    with pytest.raises(UsageError, match=r"/p/a\.cr2, which belongs to /p/a\.jpg, has no counterpart"):
        edited(make(files, near((0, 1), (0, 2)), bundles=Folder(shot)), swap)


def test_raw_and_jpeg_of_one_shot_are_one_and_are_kept_together():
    shot = {"/p/a.jpg": [("/p/a.cr2", "raw")], "/p/a.cr2": [("/p/a.jpg", "image")]}
    files = [photo("/p/a.jpg"), photo("/p/b.jpg"), photo("/p/a.cr2", kind="RAW")]
    made = make(files, keep="format=raw,jpg", bundles=Folder(shot))
    assert words(made) == {"a.cr2": "keep", "b.jpg": "trash"}
    assert [each.path for each in made.groups[0][0].bundle] == ["/p/a.jpg"]
    alone = make(files[::2], bundles=Folder(shot))
    assert words(alone) == {"a.jpg": "keep"}
    assert alone.actions == ()


def test_raw_and_jpeg_go_together_only_if_both_are_near_the_kept_file():
    shot = {"/p/b.jpg": [("/p/b.cr2", "raw")], "/p/b.cr2": [("/p/b.jpg", "image")]}
    files = [photo("/p/a.jpg"), photo("/p/b.jpg"), photo("/p/b.cr2", kind="RAW")]
    both = make(files, near((0, 1), (0, 2), (1, 2)), bundles=Folder(shot))
    assert [(a.file.path, [each.path for each in a.bundle]) for a in both.actions] == [("/p/b.jpg", ["/p/b.cr2"])]
    one = make(files, near((0, 1), (1, 2)), bundles=Folder(shot))
    assert words(one) == {"a.jpg": "keep", "b.jpg": "leave"}
    assert why(one)["b.jpg"] == "/p/b.cr2, which belongs to it, is near no kept file"


def test_a_raw_that_another_group_keeps_or_lets_go_is_decided_once():
    table = {f"/p/{stem}.jpg": [(f"/p/{stem}.cr2", "raw")] for stem in "ab"}
    table |= {f"/p/{stem}.cr2": [(f"/p/{stem}.jpg", "image")] for stem in "ab"}
    files = [photo("/p/a.jpg"), photo("/p/b.jpg"), photo("/p/b.cr2", kind="RAW"), photo("/p/a.cr2", kind="RAW")]
    twins = Folder(table, equal=tuple(table))
    made = make(files, groups=[[0, 1], [2, 3]], bundles=twins)
    assert words(made) == {"a.jpg": "keep", "b.jpg": "trash"}
    assert len(made.groups) == 1
    turned = make(files, groups=[[2, 3], [0, 1]], bundles=twins)
    assert [(a.file.path, [each.path for each in a.bundle]) for a in turned.actions] == [("/p/a.cr2", ["/p/a.jpg"])]


def test_a_jpeg_stays_if_another_group_keeps_its_raw():
    table = {f"/p/{stem}.jpg": [(f"/p/{stem}.cr2", "raw")] for stem in "ab"}
    files = [photo("/p/b.cr2", kind="RAW"), photo("/p/c.cr2", kind="RAW"), photo("/p/a.jpg"), photo("/p/b.jpg")]
    made = make(files, groups=[[0, 1], [2, 3]], bundles=Folder(table))
    assert words(made, 1) == {"a.jpg": "keep", "b.jpg": "leave"}
    assert why(made, 1)["b.jpg"] == "/p/b.cr2, which belongs to it, is kept in another group"


def test_an_image_stays_if_a_companion_cannot_be_read():
    bundles = Folder({"/p/b.jpg": [("/p/b.xmp", "sidecar")]}, unreadable={"/p/b.xmp"})
    made = make([photo("/p/a.jpg"), photo("/p/b.jpg")], bundles=bundles)
    assert words(made) == {"a.jpg": "keep", "b.jpg": "leave"}
    assert made.groups[0][1].fixed == "a file that belongs to it cannot be read"


def test_small_groups_list_all_pairs_and_large_ones_only_those_with_kept_files():
    small = make([photo(f"/p/{n:03}") for n in range(ALL_PAIRS_UP_TO)])
    assert {len(member.near) for member in small.groups[0]} == {ALL_PAIRS_UP_TO - 1}
    large = make([photo(f"/p/{n:03}") for n in range(ALL_PAIRS_UP_TO + 1)])
    assert [len(member.near) for member in large.groups[0]] == [0] + [1] * ALL_PAIRS_UP_TO


def test_paths_and_roots_become_absolute():
    made = make([photo("a"), photo("sub/../b")], roots=(".",))
    assert made.roots == (os.getcwd(),)
    assert [member.file.path for member in made.groups[0]] == [os.path.abspath("a"), os.path.abspath("b")]


def test_rules_that_need_the_file_ask_for_it():
    made = make([photo("/p/a"), photo("/p/b")], keep="exif", facts=lambda file: Facts(camera=file.path == "/p/b"))
    assert words(made) == {"b": "keep", "a": "trash"}


def test_a_plan_never_removes_what_it_keeps():
    made = make([photo("/p/a"), photo("/p/b"), photo("/p/c")], groups=[[1, 2], [0, 1]])
    assert words(made) == {"b": "keep", "c": "trash"}
    assert words(made, 1) == {"a": "keep", "b": "leave"}
    assert why(made, 1)["b"] == "it is kept in another group, or belongs to a file that is"


def test_what_was_moved_before_is_left_where_it_is_and_may_be_kept():
    files = [photo("/p/a"), photo("/p/dupes/b"), photo("/p/c")]
    made = make(files, verb="move", target="/p/dupes")
    assert words(made) == {"a": "keep", "b": "leave", "c": "move"}
    assert why(made)["b"] == "already in the folder that files are moved to"
    above = make(files, verb="move", target="/p", roots=("/p/dupes", "/p/c"))
    assert words(above) == {"b": "keep", "c": "move"}
    assert words(make(files[1:], verb="move", target="/p/dupes")) == {"b": "keep", "c": "move"}
    with pytest.raises(UsageError, match="cannot move files to /r/dupes: it is in a reference folder"):
        make(files, verb="move", target="/r/dupes", reference_roots=("/r",))


def scanned(path):
    found = look(str(path))
    return File(found.path, found.size, found.mtime_ns, found.sha256, "", 4, 3, "JPEG")


def test_a_second_run_moves_nothing_deeper_and_a_link_to_the_target_changes_nothing(tmp_path):
    root, files = tmp_path / "root", []
    (root / "dupes").mkdir(parents=True)
    for name in ("a.jpg", "dupes/b.jpg", "c.jpg"):
        (root / name).write_bytes(name.encode())
        files.append(scanned(root / name))
    (tmp_path / "link").symlink_to(root / "dupes")
    with Database(str(tmp_path / "catalogue.sqlite"), durable=True) as database:

        def wished(target, **more):
            wish = Wish("move", (str(root),), target=str(target), rules=parse_rules("first"), **more)
            return make_plan([[0, 1, 2]], files, similarity=all_near, wish=wish, database=database, facts=None)

        for target in (root / "dupes", tmp_path / "link"):
            assert words(wished(target)) == {"a.jpg": "keep", "b.jpg": "leave", "c.jpg": "move"}
        with pytest.raises(UsageError, match="it is in a reference folder"):
            wished(tmp_path / "link", reference=(str(root / "dupes"),))


def test_nothing_rests_on_a_symbolic_link_and_none_is_acted_on(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "far.jpg").write_bytes(b"far")
    (root / "a.jpg").symlink_to(tmp_path / "far.jpg")
    (root / "b.jpg").write_bytes(b"far")
    (root / "c.jpg").write_bytes(b"c")
    files = [replace(scanned((root / name).resolve()), path=str(root / name)) for name in ("a.jpg", "b.jpg", "c.jpg")]
    with Database(str(tmp_path / "catalogue.sqlite"), durable=True) as database:

        def wished(*group, **more):
            wish = Wish("delete", (str(root),), rules=parse_rules("first"), **more)
            return make_plan([group], files, similarity=all_near, wish=wish, database=database, facts=None)

        made = wished(0, 1, 2)
        assert words(made) == {"b.jpg": "keep", "a.jpg": "leave", "c.jpg": "delete"}
        assert why(made)["a.jpg"] == "a symbolic link"
        assert words(wished(0, 1)) == {"b.jpg": "keep", "a.jpg": "leave"}
        assert words(wished(0, 1, 2, keep_per_folder=3)) == {"b.jpg": "keep", "a.jpg": "leave", "c.jpg": "keep"}
        with pytest.raises(UsageError, match="is near no file that is kept"):
            edited(made, {str(root / "a.jpg"): "keep", str(root / "b.jpg"): "delete", str(root / "c.jpg"): "leave"})
        with pytest.raises(UsageError, match="must stay: a symbolic link"):
            edited(made, {str(root / "a.jpg"): "delete"})
        wish = Wish("delete", (str(root / "b.jpg"),), reference=(str(root),), rules=parse_rules("first"))
        both = make_plan([[0, 1]], files, similarity=all_near, wish=wish, database=database, facts=None)
        assert words(both) == {"b.jpg": "keep", "a.jpg": "leave"}
