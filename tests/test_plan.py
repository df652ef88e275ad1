"""A plan's file: what a person may change in it, and what is refused."""

import json
import os

import pytest

from imkin.actions import apply
from imkin.bundles import FolderBundles, look
from imkin.catalogue import Database
from imkin.errors import MissingPathError, UsageError
from imkin.plan import Member, Own, Plan, Seen, check, edited, inside, parse_action, plan_text, read_plan
from imkin.policy import Terms, parse_rules, plan
from imkin.types import File


def seen(path, size=10):
    return Seen(path, size, 123456789, "ab" * 32)


def member(path, do, *, near=(), fixed="", bundle=()):
    return Member(seen(path), do, f"why {do}", fixed, tuple(map(seen, bundle)), tuple(near))


def sample():
    group = (
        member("/p/a.jpg", "keep", near=[(1, 0.98), (2, 0.95)]),
        member("/p/b.jpg", "trash", near=[(0, 0.98), (2, None)], bundle=["/p/b.xmp"]),
        member("/p/c.jpg", "trash", near=[(0, 0.95), (1, None)]),
        member("/p/d.jpg", "leave"),
    )
    lone = (
        member("/r/k.jpg", "keep", near=[(1, 1.0)], fixed="in a reference folder"),
        member("/p/x.jpg", "trash", near=[(0, 1.0)]),
    )
    return Plan("trash", ("/p",), (group, lone), reference_roots=("/r",), method="phash", threshold=0.9)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "plan.json"


def change(file, edit):
    """Write the sample with one thing edited, the way a person or a program would."""
    whole = json.loads(plan_text(sample()))
    edit(whole)
    file.write_text(json.dumps(whole, indent=4))


def test_a_plan_comes_back_as_it_was_written(file):
    file.write_text(plan_text(sample()))
    assert read_plan(str(file)) == sample()


def test_actions_name_the_kept_file_that_each_is_near():
    assert [(a.file.path, a.keep.path, a.similarity, a.bytes_won) for a in sample().actions] == [
        ("/p/b.jpg", "/p/a.jpg", 0.98, 20),
        ("/p/c.jpg", "/p/a.jpg", 0.95, 10),
        ("/p/x.jpg", "/r/k.jpg", 1.0, 10),
    ]


def test_names_that_are_not_utf8_survive_in_an_ascii_file(file):
    name = os.fsdecode(b"/p/caf\xe9.jpg")
    made = Plan(
        "delete", ("/p",), ((member(name, "keep", near=[(1, 1.0)]), member("/p/é \n", "delete", near=[(0, 1.0)])),)
    )
    text = plan_text(made)
    assert text.isascii()
    file.write_text(text)
    assert read_plan(str(file)) == made


def test_a_file_is_one_line_of_the_plan():
    lines = [line for line in plan_text(sample()).splitlines() if '"path": "/p/b.jpg"' in line]
    assert len(lines) == 1
    assert lines[0].strip().startswith('{"do": "trash", "path": "/p/b.jpg"')


def test_a_person_may_leave_a_file_and_lay_the_text_out_anew(file):
    change(file, word(0, 1, "leave"))
    assert [a.file.path for a in read_plan(str(file)).actions] == ["/p/c.jpg", "/p/x.jpg"]


def test_a_person_may_keep_another_file_of_the_group(file):
    def swap(whole):
        whole["groups"][0][0]["do"] = "trash"
        whole["groups"][0][1]["do"] = "keep"

    change(file, swap)
    assert [(a.file.path, a.keep.path, a.similarity) for a in read_plan(str(file)).actions[:2]] == [
        ("/p/a.jpg", "/p/b.jpg", 0.98),
        ("/p/c.jpg", "/p/b.jpg", None),
    ]


def word(group, place, do):
    return lambda whole: whole["groups"][group][place].update(do=do)


def everything_goes(whole):
    for each in whole["groups"][0]:
        each["do"] = "trash"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (word(0, 3, "trash"), "group 1: /p/d.jpg is near no file that is kept"),
        (word(0, 0, "leave"), "group 1: /p/b.jpg is near no file that is kept"),
        (everything_goes, "group 1: /p/a.jpg is near no file that is kept"),
        (word(0, 1, "delete"), "group 1: unknown word `delete` for /p/b.jpg; known: keep, leave, trash"),
        (word(1, 0, "trash"), "group 2: /r/k.jpg must stay: in a reference folder"),
    ],
)
def test_an_edit_that_would_lose_a_file_is_refused_whole(file, edit, says):
    change(file, edit)
    with pytest.raises(UsageError) as caught:
        read_plan(str(file))
    assert str(caught.value).startswith(f"{file} is refused, nothing was done: {says}")


def path_of_member(whole):
    whole["groups"][0][1]["path"] = "/p/other.jpg"


def dropped_member(whole):
    del whole["groups"][0][3]


def wider_roots(whole):
    whole["roots"] = ["/"]


def similarity(whole):
    whole["groups"][0][3]["near"] = [[1, 0.99]]


def checksum(whole):
    whole["groups"][0][0]["sha256"] = "cd" * 32


def reference(whole):
    whole["groups"][1][0]["fixed"] = ""


def other_verb(whole):
    whole["verb"] = "delete"


@pytest.mark.parametrize(
    "edit", [path_of_member, dropped_member, wider_roots, similarity, checksum, reference, other_verb]
)
def test_a_plan_in_which_more_was_changed_is_refused_whole(file, edit):
    change(file, edit)
    with pytest.raises(UsageError, match="more was changed in it than the words after `do`"):
        read_plan(str(file))


def test_a_plan_of_another_version_is_refused(file):
    change(file, lambda whole: whole.update(imkin_plan=2))
    with pytest.raises(UsageError, match="plan version 2, this imkin knows 1"):
        read_plan(str(file))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"plan"', '{"imkin_plan": NaN}', "[" * 100_000, "\ud800"])
def test_what_is_no_plan_is_refused(file, text):
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError):
        read_plan(str(file))


@pytest.mark.parametrize("word", ["do", "path", "near"])
def test_a_plan_in_which_a_name_stands_twice_is_refused(file, word):
    file.write_text(plan_text(sample()).replace('{"do": "trash"', f'{{"{word}": "keep", "do": "trash"', 1))
    with pytest.raises(UsageError, match=f"is no plan: `{word}` stands twice in one object"):
        read_plan(str(file))


def removed(key):
    return lambda whole: whole.pop(key)


@pytest.mark.parametrize("key", ["roots", "groups", "digest", "verb", "target", "threshold"])
def test_a_plan_with_a_missing_part_is_refused(file, key):
    change(file, removed(key))
    with pytest.raises(UsageError, match="is refused"):
        read_plan(str(file))


def test_a_plan_that_is_not_there_is_a_missing_path(tmp_path):
    with pytest.raises(MissingPathError, match="cannot read the plan"):
        read_plan(str(tmp_path / "none.json"))


def pair(keep, gone, *, bundle=(), verb="trash", **terms):
    return Plan(
        verb,
        ("/p",),
        ((member(keep, "keep", near=[(1, 1.0)]), member(gone, verb, near=[(0, 1.0)], bundle=bundle)),),
        **terms,
    )


@pytest.mark.parametrize(
    "made",
    [
        pair("/p/a", "/q/b"),
        pair("/q/a", "/p/b"),
        pair("/p/a", "/p/../q/b"),
        pair("/p/a", "/pp/b"),
        pair("/p/a", "/r/b", reference_roots=("/r",)),
        pair("/p/a", "/p/b", bundle=["/q/b.xmp"]),
        pair("/p/a", "/p/b", bundle=["/p/.."]),
        pair("/p/a", "/p/b", bundle=["/p/sub/b.xmp"]),
    ],
)
def test_a_plan_that_names_files_outside_its_roots_is_refused_even_with_a_right_digest(file, made):
    file.write_text(plan_text(made))
    with pytest.raises(UsageError, match="is refused, nothing was done: the plan names"):
        read_plan(str(file))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (pair("/p/a", "/p/a"), "both keeps and removes /p/a"),
        (pair("/p/a", "/p/b", bundle=["/p/a"]), "both keeps and removes /p/a"),
        (pair("/p/a", "/p/b", bundle=["/p/b"]), "acts twice on /p/b"),
        (pair("/p/a", "/p/r/b", reference_roots=("/p/r",)), "lies in a reference folder"),
        (pair("/p/a", "/p/b", verb="move"), "without the verb move"),
        (pair("/p/a", "/p/b", target="/t"), "without the verb move"),
        (pair("/p/a", "/p/b", verb="move", target="t"), "not an absolute, plain path"),
        (pair("/p/a", "/p/b", verb="move", target="/r/t", reference_roots=("/r",)), "it is in a reference folder"),
        (pair("/p/a", "/p/t/b", verb="move", target="/p/t"), "already in the folder that files are moved to"),
        (Plan("trash", ("p",), ()), "not an absolute, plain path"),
        (Plan("trash", ("/p",), ((member("/p/a", "keep"), member("/p/b", "trash", near=[(2, 1.0)])),)), "not there"),
    ],
)
def test_a_plan_that_breaks_its_own_rules_is_refused(made, says):
    with pytest.raises(UsageError, match=says):
        check(made)


def swapped(whole):
    first, second = whole["groups"][0]
    first["do"], second["do"] = whole["verb"], "keep"


@pytest.fixture
def shots(tmp_path):
    """A folder with k.jpg and s.jpg, the first with more beside it, and the plan that keeps it."""

    def lay(**files):
        for name, content in {"k_jpg": b"k", "s_jpg": b"s", **files}.items():
            (tmp_path / name.replace("_", ".")).write_bytes(content)
        found = [look(str(tmp_path / name)) for name in ("k.jpg", "s.jpg")]
        files = [File(each.path, each.size, each.mtime_ns, each.sha256, "", 4, 3, "JPEG") for each in found]
        terms = Terms("delete", parse_rules("first"), (str(tmp_path),), bundles=FolderBundles())
        made = plan([[0, 1]], files, similarity=lambda *_: 0.99, terms=terms)
        whole = json.loads(plan_text(made))
        swapped(whole)
        (tmp_path / "plan.json").write_text(json.dumps(whole))
        return tmp_path

    return lay


@pytest.mark.parametrize("companion", ["k.dng", "k.mov"])
def test_an_edit_that_would_lose_a_raw_or_a_video_is_refused_and_nothing_is_done(shots, companion):
    folder = shots(**{companion.replace(".", "_"): b"own content", "k_xmp": b"<x/>"})
    with pytest.raises(UsageError) as caught:
        read_plan(str(folder / "plan.json"))
    assert str(caught.value) == (
        f"{folder}/plan.json is refused, nothing was done: group 1: {folder}/{companion}, which belongs to "
        f"{folder}/k.jpg, has no counterpart of the same bytes beside {folder}/s.jpg, which is kept; "
        "leave it or keep it"
    )
    assert sorted(os.listdir(folder)) == sorted(["k.jpg", "s.jpg", "k.xmp", companion, "plan.json"])


def test_a_swapped_plan_is_applied_where_the_raw_has_an_equal_and_refused_where_it_has_another(shots, tmp_path):
    folder = shots(k_dng=b"own content", s_dng=b"own content")
    with Database(str(tmp_path / "catalogue.sqlite"), durable=True) as database:
        apply(read_plan(str(folder / "plan.json")), database=database)
    assert not (folder / "k.jpg").exists()
    assert not (folder / "k.dng").exists()
    assert (folder / "s.dng").read_bytes() == b"own content"
    shots(k_dng=b"own content", s_dng=b"other one!!")
    with pytest.raises(UsageError, match=r"k\.dng, which belongs to"):
        read_plan(str(folder / "plan.json"))


def test_apply_refuses_in_memory_too_what_would_lose_a_raw(shots, tmp_path):
    folder = shots(k_dng=b"own content")
    rows = ((str(folder / "k.jpg"), "delete", (look(str(folder / "k.dng")),)), (str(folder / "s.jpg"), "keep", ()))
    own = {0: (Own(str(folder / "k.dng"), "raw"),)}
    group = tuple(
        Member(look(path), do, "", "", bundle, ((1 - at, 0.99),), own.get(at, ()))
        for at, (path, do, bundle) in enumerate(rows)
    )
    with (
        Database(str(tmp_path / "catalogue.sqlite"), durable=True) as database,
        pytest.raises(UsageError, match="no counterpart"),
    ):
        apply(Plan("delete", (str(folder),), (group,)), database=database)
    assert (folder / "k.dng").exists()


def test_a_plan_that_names_content_which_is_in_no_bundle_is_refused():
    with pytest.raises(UsageError, match="is not among what belongs to"):
        check(Plan("trash", ("/p",), ((Member(seen("/p/a"), "keep", "", own=(Own("/p/b", "raw"),)),),)))


def test_words_can_be_changed_in_memory_too():
    changed = edited(sample(), {"/p/b.jpg": "leave"})
    assert [member.file.path for member in changed.left] == ["/p/b.jpg", "/p/d.jpg"]
    with pytest.raises(UsageError):
        edited(sample(), {"/p/a.jpg": "leave"})
    with pytest.raises(KeyError):
        edited(sample(), {"/p/none.jpg": "leave"})


def test_an_action_is_a_word_and_only_move_has_a_folder():
    assert parse_action("trash") == ("trash", "")
    assert parse_action("move:out") == ("move", os.path.abspath("out"))
    for wrong in ("move", "move:", "trash:x", "trash:"):
        with pytest.raises(UsageError, match="is written"):
            parse_action(wrong)
    with pytest.raises(
        UsageError, match="unknown action `rm`; known: trash, move:DIR, delete, hardlink, reflink, symlink"
    ):
        parse_action("rm")


def test_a_root_holds_itself_and_what_is_under_it():
    assert inside("/p/a", ("/p",))
    assert inside("/p", ("/p",))
    assert inside("/x", ("/",))
    assert not inside("/pq", ("/p",))
    assert not inside("/p", ())
