from __future__ import annotations

import re
from html import unescape

ALWAYS = 10**6


def hidden_key(page):
    return re.search(r'name="key" value="([^"]+)"', page).group(1)


def trace(page):
    """The three names of the strip: who answered, who was read, who wrote."""
    strip = page.split('id="trace"')[1].split("</section>")[0]
    return re.findall(r'<span class="server [^"]+">([^<]+)</span>', strip)


def test_the_empty_page_says_which_servers_made_it(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert trace(answer.text) == ["server-2", "server-1", "nothing yet"]
    assert "Nobody has signed yet" in answer.text


def test_signing_redirects_and_the_entry_is_shown_with_its_writer(client, database):
    database.writer = "server-3"
    key = hidden_key(client.get("/").text)
    answer = client.post("/entries", data={"text": " hello\r\nthere ", "key": key})
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/?posted={key}"
    page = client.get(answer.headers["Location"]).text
    assert "hello\nthere</p>" in page
    assert trace(page)[2] == "server-3"
    assert "server-3 wrote it" in page


def test_sending_the_form_twice_stores_one_entry(client, database):
    for _ in range(2):
        assert client.post("/entries", data={"text": "once", "key": "k"}).status_code == 303
    assert len(database.rows) == 1


def test_markup_is_shown_not_obeyed(client, database):
    attack = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>"""
    database.add("k", attack)
    page = client.get("/").text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert attack in unescape(page)
    refused = client.post("/entries", data={"text": attack, "key": attack})
    assert refused.status_code == 400
    assert "<img" not in refused.text


def test_nothing_inline_that_the_policy_forbids(client, database):
    database.add("k", "x")
    page = client.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", page)


def test_assets_may_be_kept_because_their_address_holds_their_digest(client):
    page = client.get("/").text
    assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(assets) == 3
    for address in assets:
        answer = client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert client.get(address.split("?")[0] + "?v=old").headers["Cache-Control"] == "no-cache"
    assert client.get("/favicon.ico").mimetype == "image/svg+xml"


def test_pages_lead_to_older_entries(client, database):
    for number in range(1, 36):
        database.add(f"k{number}", f"entry number {number}.")
    first = client.get("/").text
    assert "entry number 35." in first
    assert "entry number 5." not in first
    older = re.search(r'href="(/\?before=\d+)"', first).group(1)
    second = client.get(older).text
    assert "entry number 5." in second
    assert "entry number 6." not in second
    assert "<form" not in second


def test_without_a_writer_the_text_and_the_key_stay_in_the_form(client, database):
    client.get("/")
    database.refuse_writes = ALWAYS
    answer = client.post("/entries", data={"text": "keep me", "key": "k"})
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert hidden_key(answer.text) == "k"
    assert ">keep me</textarea>" in answer.text
    assert 'role="alert"' in answer.text
    assert not database.rows


def test_an_unknown_outcome_asks_to_send_the_same_form_again(client, database):
    client.post("/entries", data={"text": "warm", "key": "warm"})
    client.get("/")
    database.break_commits = ["lost"]
    database.refuse_connections = ALWAYS
    answer = client.post("/entries", data={"text": "maybe", "key": "k"})
    assert answer.status_code == 503
    assert "not known whether" in answer.text
    database.refuse_connections = 0
    client.post("/entries", data={"text": "maybe", "key": hidden_key(answer.text)})
    assert [row[1] for row in database.rows] == ["warm", "k"]


def test_without_a_database_the_page_says_so(client, database):
    database.refuse_connections = ALWAYS
    answer = client.get("/")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert "cannot be read now" in answer.text
    assert trace(answer.text) == ["server-2", "no server", "not known"]


def test_a_lagging_replica_does_not_hide_the_visitors_own_entry(client, database):
    client.post("/entries", data={"text": "mine", "key": "k"})
    database.replicas_lag = True
    page = client.get("/?posted=k").text
    assert "server-1 wrote it" in page
    assert ">mine</p>" in page


def test_an_old_address_of_a_posted_entry_is_no_error(client):
    assert client.get("/?posted=gone").status_code == 200
    assert client.get("/?posted=%3Cb%3E").status_code == 200
    assert client.get("/?before=x").status_code == 400
