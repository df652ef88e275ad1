"""The review page in a real browser: a person reviews, decides, reloads, applies and takes back."""

import os
from contextlib import contextmanager

import pytest

import serving as service
from browser import AUDIT, browser, origin, page_at, ready, settled
from imkin.catalogue import Database
from imkin.demo import write_collection
from imkin.server.review.app import serving
from reviewing import lay_photos, made_session, session_on

# Where the documentation's pictures go, when they are made anew.
PICTURES = os.environ.get("IMKIN_DOC_PICTURES")


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def photos(tmp_path):
    return lay_photos(tmp_path / "photos")


@contextmanager
def review(chromium, session, **view):
    with serving(session) as address, page_at(chromium, address, **view) as page:
        yield page


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".imkin-held" not in path.parts
    }


def says(page, selector, text):
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)", arg=[selector, text]
    )


def pick(page, name):
    """Select the picture of that name, once the page knows the group closely."""
    page.locator(".card", has=page.locator(".name", has_text=name)).locator(".pane").click()
    page.wait_for_selector(f".card.selected .name:text-is('{name}')")


def test_a_person_decides_by_keys_reloads_applies_the_plan_and_takes_it_back(chromium, photos, tmp_path):
    before = files(photos)
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        says(page, "#progress", "0 of 3 groups decided")
        says(page, "#why", "photo.png, largest: 320x240")
        page.keyboard.press("Enter")
        says(page, "#progress", "1 of 3 groups decided")
        says(page, "#group-title", "Group 2")
        pick(page, "photo small.jpg")
        page.keyboard.press("Enter")
        says(page, "#progress", "2 of 3 groups decided")

        page.reload()
        ready(page)
        says(page, "#progress", "2 of 3 groups decided")
        says(page, "#plan-open", "4 files")

        page.keyboard.press("a")
        says(page, "#progress", "3 of 3 groups decided")
        page.keyboard.press("u")
        says(page, "#progress", "2 of 3 groups decided")
        page.keyboard.press("a")
        says(page, "#progress", "3 of 3 groups decided")

        page.keyboard.press("p")
        page.click("text=Apply to 4 files")
        says(page, ".sure", "4 files are deleted and held back. Each is looked at once more before. It can be undone.")
        assert files(photos) == before
        page.click("#apply-now")
        says(page, ".result", "4 files done")
        kept = {"album-0/photo.png", "album-1/photo small.jpg", *(name for name in before if "album-2" in name)}
        assert files(photos) == {name: before[name] for name in kept}
        page.click("#undo-run")
        says(page, ".result", "4 files are back where they were.")
        assert files(photos) == before
        page.keyboard.press("Escape")
        says(page, "#progress", "3 of 3 groups decided")


def test_the_whole_way_can_be_gone_by_keys_alone(chromium, photos, tmp_path):
    before = files(photos)

    def tab_to(page, name):
        for _ in range(8):
            if page.evaluate("document.activeElement.id") == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not come to {name}")

    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        says(page, "#why", "largest")
        for _ in range(3):
            page.keyboard.press("Enter")
        says(page, "#progress", "3 of 3 groups decided")
        page.keyboard.press("p")
        page.wait_for_selector("#apply")
        tab_to(page, "apply")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        says(page, ".result", "6 files done")
        assert page.evaluate("document.activeElement.textContent") == "Close"
        assert len(files(photos)) == 3
        tab_to(page, "undo-run")
        page.keyboard.press("Enter")
        says(page, ".result", "6 files are back")
        assert page.evaluate("document.activeElement.textContent") == "Close"
        page.keyboard.press("Enter")
        assert page.locator("dialog[open]").count() == 0
        says(page, "#finished h2", "All decided")
        assert files(photos) == before


def test_decisions_are_there_after_a_restart(chromium, photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        page.keyboard.press("d")
        says(page, "#progress", "1 of 3 groups decided")
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        says(page, "#progress", "1 of 3 groups decided")
        page.check("input[value=decided]", force=True)
        says(page, "#why", "you told these pictures apart")
        page.keyboard.press("r")
        says(page, "#progress", "0 of 3 groups decided")


def test_a_person_decides_by_mouse(chromium, photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        page.click(".card:nth-child(2) .keep-this")
        says(page, "#progress", "1 of 3 groups decided")
        page.click(".row[data-place='0']")
        says(page, "#why", "one picture stays, 2 go".replace("one picture", "1 picture"))
        page.click(".card:nth-child(3) .keep-too")
        says(page, "#why", "2 pictures stay, one goes")
        assert len(session.standings[0].kept) == 2
        page.click("#next")
        pick(page, "photo low.jpg")
        page.click("#odd")
        says(page, ".card.selected .score", "different, you said")
        page.click("#bulk-open")
        says(page, "#bulk-title", "3 groups shown")
        page.click("#bulk .strong")
        says(page, "#progress", "3 of 3 groups decided")
        page.click("#undo")
        says(page, "#progress", "1 of 3 groups decided")


def test_enter_after_a_click_of_the_mouse_keeps_what_is_selected_and_not_what_was_clicked(chromium, photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        page.click(".card:nth-child(2) .keep-this")
        says(page, "#progress", "1 of 3 groups decided")
        page.keyboard.press("Enter")
        says(page, "#progress", "2 of 3 groups decided")
        kept = [os.path.basename(session.files[at].path) for each in session.standings[:2] for at in each.kept]
        assert (len(kept), kept[0] == "photo.png", kept[1]) == (2, False, "photo.png")


def test_a_group_that_is_left_while_zoomed_leaves_the_pictures_of_the_next_whole(chromium):
    with Database(None) as database:
        session = made_session(database, 6, size=3)
        with review(chromium, session) as page:
            says(page, "#place", "1 of 6")
            page.keyboard.press("+")
            assert "scale(1.4)" in page.locator(".card:nth-child(3) .fit").get_attribute("style")
            page.keyboard.press("j")
            says(page, "#group-title", "Group 2")
            says(page, "#zoom-value", "Fit")
            styles = page.evaluate("[...document.querySelectorAll('.fit')].map((fit) => fit.style.transform)")
            assert styles == [""] * 3


def test_filters_search_and_order_choose_what_is_shown_and_decided(chromium, photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        page.keyboard.press("/")
        page.keyboard.type("album-1 png")
        says(page, "#place", "1 of 1")
        says(page, "#group-title", "Group 2")
        page.keyboard.press("Escape")
        says(page, "#place", "of 3")
        page.select_option("#sort", "won")
        won = [sum(session.files[at].size for at in standing.going) for standing in session.standings]
        page.keyboard.press("Escape")
        page.keyboard.press("Home")
        says(page, "#group-title", f"Group {won.index(max(won)) + 1}")
        page.click("#filters summary")
        page.select_option("#folder", label="photos/album-2 (3)")
        says(page, "#place", "1 of 1")
        page.click("#bulk-open")
        page.check("input[value=all]:not([name=state])")
        says(page, "#bulk .strong", "Decide 1 group")
        page.click("#bulk .strong")
        says(page, "#progress", "1 of 3 groups decided")
        assert [standing.state for standing in session.standings] == ["open", "open", "all"]
        page.click("#clear")
        page.fill("#most", "0.5")
        says(page, "#none", "No group fits the filters.")


def test_the_slider_groups_anew(chromium):
    with Database(None) as database:
        session = made_session(database, 20)
        with review(chromium, session) as page:
            says(page, "#threshold-groups", "20 groups")
            page.wait_for_selector("#bars i:nth-child(21)")
            page.locator("#threshold").fill("0.9")
            says(page, "#threshold-groups", "11 groups")
            says(page, "#toast", "11 groups now, 9 fewer.")
            assert (session.threshold, len(session.groups)) == (0.9, 11)


def test_zoom_and_pan_go_in_step_and_one_picture_is_laid_over_the_other(chromium, photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        page.wait_for_selector(".card:nth-child(3) .fit.loaded")
        moved = "[...document.querySelectorAll('.fit')].map((fit) => fit.style.transform)"
        assert page.evaluate(moved) == [""] * 3
        page.keyboard.press("+")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        assert len(set(page.evaluate(moved))) == 1
        assert page.evaluate(moved)[0].startswith("scale(1.4) translate(-14.2857%")
        says(page, "#zoom-value", "140 %")
        page.keyboard.press("0")
        assert page.evaluate(moved) == [""] * 3
        page.keyboard.press("2")
        says(page, ".which", "photo.png")
        page.click(".pane.over")
        says(page, ".which", "photo low.jpg")
        page.keyboard.press("3")
        says(page, ".which", "Black is where photo.png and")
        assert page.evaluate("getComputedStyle(document.querySelector('.upper')).mixBlendMode") == "difference"


def test_ten_thousand_groups_are_a_screenful_of_rows_and_every_key_leads_where_it_should(chromium):
    with Database(None) as database:
        session = made_session(database, 10_000)
        with review(chromium, session) as page:
            says(page, "#place", "1 of 10,000")
            page.keyboard.press("End")
            says(page, "#group-title", "Group 10,000")
            assert page.locator(".row[aria-selected=true]").get_attribute("aria-posinset") == "10000"
            assert page.locator(".row").count() < 40
            page.keyboard.press("Home")
            for _ in range(40):
                page.keyboard.press("j")
            says(page, "#group-title", "Group 41")
            for _ in range(20):
                page.keyboard.press("Enter")
            says(page, "#progress", "20 of 10,000 groups decided")
            says(page, "#group-title", "Group 61")
            assert [at for at, each in enumerate(session.standings) if each.state == "kept"] == list(range(40, 60))


@pytest.mark.parametrize(("scheme", "width", "height"), [("light", 1280, 800), ("dark", 1280, 800), ("dark", 390, 844)])
def test_everything_has_a_name_and_stands_out_from_what_is_behind_it(chromium, tmp_path, scheme, width, height):
    photos = lay_photos(tmp_path / "photos")
    with (
        session_on(photos, tmp_path / "c.sqlite") as session,
        review(chromium, session, scheme=scheme, width=width, height=height) as page,
    ):

        def check(*, least=10):
            found = page.evaluate(AUDIT)
            assert not found["wrong"], found["wrong"]
            assert found["texts"] >= least
            assert page.evaluate("document.documentElement.scrollWidth") <= width

        says(page, "#why", "largest")
        check()
        page.keyboard.press("Enter")
        says(page, "#progress", "1 of 3")
        page.keyboard.press("k")
        says(page, ".tag.go", "Goes")
        check()
        page.keyboard.press("?")
        check()
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        check()
        page.keyboard.press("Escape")
        page.keyboard.press("p")
        says(page, "#plan-title", "The plan")
        page.wait_for_selector("#apply")
        check()
        page.click("#apply")
        check()
        page.keyboard.press("Escape")
        if width < 500:
            page.click("#show-list")
            page.wait_for_selector("aside", state="visible")
            check()


def test_what_the_keyboard_is_on_is_seen(chromium, photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        seen = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            where, width, style = page.evaluate(
                "() => { const at = document.activeElement, tab = at.matches('.tabs input');"
                "const own = getComputedStyle(tab ? at.nextElementSibling : at);"
                "return [at.id || at.className, parseFloat(own.outlineWidth), own.outlineStyle]; }"
            )
            if where in seen:
                continue
            seen.add(where)
            if page.evaluate("document.activeElement !== document.body"):
                assert (width >= 2, style != "none") == (True, True), where
        assert {"search", "threshold", "list", "keep", "plan-open", "pane"} <= seen


def test_the_pictures_of_the_documentation_show_the_page(chromium, tmp_path):
    # The drawn collection is fine to look at; that the page shows a group of three is seen on any.
    (write_collection if PICTURES else lay_photos)(tmp_path / "photos")
    views = {
        "review": {"scheme": "light"},
        "review-dark": {"scheme": "dark"},
        "review-phone": {"scheme": "light", "width": 390, "height": 844},
    }
    with session_on(tmp_path / "photos", tmp_path / "c.sqlite") as session:
        shown = next(at for at, members in enumerate(session.groups) if len(members) == 3)
        for number in range(shown):
            session.keep(number, session.standings[number].kept or [session.standings[number].keeper])
        for name, view in views.items():
            with review(chromium, session, **view) as page:
                if "width" in view:
                    page.click("#show-list")
                page.check("input[value=all]", force=True)
                if "width" in view:
                    page.click("#show-list")
                page.evaluate("() => document.activeElement.blur()")
                page.keyboard.press("Home")
                for _ in range(shown):
                    page.keyboard.press("j")
                says(page, "#group-title", f"Group {shown + 1}")
                page.wait_for_selector(".card:nth-child(3) .more-facts:has-text('sharpness')")
                settled(page)
                picture = page.screenshot(path=f"{PICTURES}/{name}.png" if PICTURES else None)
                assert len(picture) > 15_000


def test_who_has_not_the_address_of_this_start_sees_nothing(chromium, photos, tmp_path):
    with session_on(photos, tmp_path / "c.sqlite") as session, serving(session) as address:
        context = chromium.new_context()
        page = context.new_page()
        assert page.goto(origin(address) + "review/").status == 401
        assert page.goto(origin(address) + "api/review").status == 401
        assert page.goto(address).status == 200
        assert "token" not in page.url
        assert page.goto(origin(address) + "api/review").status == 200
        assert page.goto(origin(address) + "review/static/..%2Froutes.py").status == 404
        assert page.goto(origin(address) + "api/review/pictures/" + "0" * 24 + "/320.jpg").status == 404
        context.close()


def test_a_service_with_roots_offers_the_page_on_each_of_them_by_the_method_asked_for(chromium, photos, tmp_path):
    other = lay_photos(tmp_path / "others", count=2)
    roots = [word for root in (photos, other) for word in ("--root", str(root))]
    options = (*roots, "--workers", "1")
    with service.serving(str(tmp_path), *options) as running, page_at(chromium, f"{running.url}/review/") as page:
        says(page, "#choose-title", "Which folder?")
        assert page.input_value("#by") == "auto"
        page.select_option("#by", "phash")
        assert page.get_attribute("#from", "placeholder") == "0.9062"
        assert not page.evaluate(AUDIT)["wrong"]
        page.get_by_role("button", name=str(other)).click()
        says(page, "#progress", "0 of 2 groups decided")
        says(page, "#threshold-value", "0.906")
        page.keyboard.press("Enter")
        says(page, "#progress", "1 of 2 groups decided")
        page.click("#choose-open")
        assert page.input_value("#by") == "phash"
        page.select_option("#by", "exact")
        page.get_by_role("button", name=str(photos)).click()
        says(page, "#progress", "no groups")
        page.reload()
        ready(page)
        says(page, "#finished h2", "Nothing is alike")
        api = page.context.request
        here = {"origin": running.url}
        for wrong in ({"by": "onnx:/etc/passwd"}, {"by": "phash", "threshold": 2}, {"grouping": "none"}):
            answer = api.post(f"{running.url}/api/review/open", data={"root": 0, **wrong}, headers=here)
            assert answer.status == 422
        answer = api.get(f"{running.url}/api/review/plan?verb=move&target=/tmp")
        assert (answer.status, answer.json()["detail"][:25]) == (422, "a service moves no files ")
        assert "move" not in api.get(f"{running.url}/api/review").json()["verbs"]


def test_what_goes_can_be_moved_to_a_folder_that_is_named_on_the_page(chromium, photos, tmp_path):
    before = files(photos)
    with session_on(photos, tmp_path / "c.sqlite") as session, review(chromium, session) as page:
        page.keyboard.press("Enter")
        says(page, "#progress", "1 of 3 groups decided")
        page.keyboard.press("p")
        page.select_option("#verb", "move")
        page.wait_for_selector("#target")
        assert page.locator("#apply").count() == 0
        page.fill("#target", "elsewhere")
        page.keyboard.press("Enter")
        says(page, "#target-note", "Name the folder by its whole path")
        page.fill("#target", str(tmp_path / "moved"))
        page.keyboard.press("Tab")
        assert page.wait_for_selector("#apply").text_content() == "Apply to 2 files"
        assert not page.evaluate(AUDIT)["wrong"]
        page.click("#apply")
        says(page, ".sure", f"2 files move to {tmp_path / 'moved'}.")
        page.click("#apply-now")
        says(page, ".result", "2 files done")
        assert len(files(tmp_path / "moved")) == 2
        assert len(files(photos)) == len(before) - 2
        page.click("#undo-run")
        says(page, ".result", "2 files are back")
        assert files(photos) == before


def test_two_reviews_at_once_do_not_shut_each_other_out(chromium, photos, tmp_path):
    with (
        session_on(photos, tmp_path / "c.sqlite") as session,
        serving(session) as first,
        serving(session) as second,
    ):
        context = chromium.new_context()
        page = context.new_page()
        page.goto(first)
        page.goto(second)
        assert page.goto(origin(first) + "api/review").status == 200
        assert page.goto(origin(second) + "api/review").status == 200
        context.close()
