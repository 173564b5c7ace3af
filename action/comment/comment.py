"""An artifact of a pull request's run in, one comment on that pull request out, posted or updated in place.

The run executed the code of the pull request, a fork's perhaps, so that all in the artifact is whatever its author
wants it to be: its size is bounded, the pull request that it names must have the commit that was run as its head, and
its text can neither notify anybody nor show a link, an image or markup beyond what seclude writes. Uses nothing but
the standard library: it runs where nothing is installed.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping

MARKER = "<!-- seclude -->"
LARGEST_ARTIFACT = 8 << 20
LARGEST_COMMENT = 65_536  # what GitHub takes, in characters; of the file, in bytes
LARGEST_ANSWER = 8 << 20
MOST_PAGES = 30

_TAGS = re.compile(r"<(?!/?(?:details|summary|code|sub|br)/?>)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_INVISIBLE = "\u2060"  # a word joiner


class Refused(Exception):
    """Why nothing is posted: it may not be, and that is no fault of this repository."""


class Unavailable(Exception):
    """Why nothing could be posted: the API refuses or cannot be reached."""


class Api:
    """GitHub's REST interface for one repository, with one token."""

    def __init__(self, address: str, repository: str, token: str) -> None:
        self._base = f"{address.rstrip('/')}/repos/{repository}"
        self._token = token

    def read(
        self, path: str, *, body: object = None, method: str = "GET", largest: int = LARGEST_ANSWER
    ) -> bytes:
        """The bytes at `path`, an address or below the repository; Refused if there are more than `largest`.

        Raises Unavailable.
        """
        address = path if path.startswith(("http://", "https://")) else self._base + path
        if not address.startswith(self._base + "/"):
            raise Refused("an answer of the API leads elsewhere")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data=data, method=method)  # noqa: S310
        request.add_header("Accept", "application/vnd.github+json")
        request.add_header("X-GitHub-Api-Version", "2022-11-28")
        # Not on a redirection: an artifact lies in another's storage, which must not get the token.
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                content: bytes = answer.read(largest + 1)
        except urllib.error.HTTPError as error:
            raise Unavailable(
                f"{method} {urllib.parse.urlsplit(address).path}: status {error.code}"
            ) from error
        except OSError as error:
            raise Unavailable(f"the API cannot be reached: {error}") from error
        if len(content) > largest:
            raise Refused(f"an answer has more than {largest} bytes")
        return content

    def json(self, path: str, *, body: object = None, method: str = "GET") -> object:
        """What `read` gives, decoded."""
        try:
            value: object = json.loads(self.read(path, body=body, method=method))
        except ValueError as error:
            raise Refused(f"{path} is no JSON") from error
        return value


def artifact(api: Api, run: int, name: str) -> bytes:
    """The artifact of that name and run, zipped."""
    query = urllib.parse.urlencode({"name": name, "per_page": 100})
    listing = _mapping(api.json(f"/actions/runs/{run}/artifacts?{query}"))
    found = [each for each in _mappings(listing.get("artifacts")) if each.get("name") == name]
    if not found:
        raise Refused(f"run {run} has no artifact {name}: it failed before it had a report")
    identity, size = found[-1].get("id"), found[-1].get("size_in_bytes")
    if not isinstance(identity, int) or not isinstance(size, int) or size > LARGEST_ARTIFACT:
        raise Refused(f"the artifact has {size} bytes, {LARGEST_ARTIFACT} are the limit")
    return api.read(f"/actions/artifacts/{identity}/zip", largest=LARGEST_ARTIFACT)


def member(zipped: bytes, name: str, largest: int) -> str:
    """The text of one file at the top of a zip file; nothing is unpacked. Refused if it is larger or no text."""
    try:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive, archive.open(name) as file:
            content = file.read(largest + 1)
    except KeyError as error:
        raise Refused(f"the artifact has no {name}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise Refused("the artifact is no readable zip file") from error
    if len(content) > largest:
        raise Refused(f"{name} has more than {largest} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{name} is no UTF-8") from error


def pull_request(api: Api, text: str, head: str) -> int:
    """The number in `text`, if it is that of an open pull request whose head is the commit that was run."""
    if not re.fullmatch(r"[1-9][0-9]{0,9}\n?", text):
        raise Refused("pull-request.txt holds no number")
    number = int(text)
    pull = _mapping(api.json(f"/pulls/{number}"))
    if pull.get("state") != "open":
        raise Refused(f"pull request {number} is not open")
    if not head or _mapping(pull.get("head")).get("sha") != head:
        raise Refused(f"{head[:40]} is not the head of pull request {number}: a newer run comments")
    return number


def body(text: str) -> str:
    """The comment without what only others write, see the module's first lines. Refused without the marker."""
    first, _, rest = text.partition("\n")
    if first.rstrip("\r") != MARKER:
        raise Refused(f"comment.md does not begin with {MARKER}")
    rest = _CONTROL.sub("", rest.replace("\r\n", "\n"))
    rest = _TAGS.sub("&lt;", rest)
    # @name and #1 notify people and appear on other pages; "](" makes links and images, "]:" and "://" too.
    rest = re.sub(r"([@#])(?=\w)", rf"\1{_INVISIBLE}", rest)
    rest = (
        rest.replace("](", f"]{_INVISIBLE}(")
        .replace("]:", f"]{_INVISIBLE}:")
        .replace("][", f"]{_INVISIBLE}[")
    )
    rest = re.sub(r"(?i):(?=//)|www(?=\.)", rf"\g<0>{_INVISIBLE}", rest)
    made = f"{MARKER}\n{rest}"
    return made if len(made) <= LARGEST_COMMENT else made[:LARGEST_COMMENT].rpartition("\n")[0]


def post(api: Api, number: int, text: str) -> str:
    """Updates our comment on that pull request, or makes it; its address."""
    ours = [each for each in _comments(api, number) if _is_ours(each)]
    if ours:
        path, method = f"/issues/comments/{ours[0]['id']}", "PATCH"
    else:
        path, method = f"/issues/{number}/comments", "POST"
    answer = _mapping(api.json(path, body={"body": text}, method=method))
    return str(answer.get("html_url", ""))


def _comments(api: Api, number: int) -> Iterator[Mapping[str, object]]:
    for page in range(1, MOST_PAGES + 1):
        comments = _mappings(api.json(f"/issues/{number}/comments?per_page=100&page={page}"))
        yield from comments
        if len(comments) < 100:
            return


def _is_ours(comment: Mapping[str, object]) -> bool:
    """Whether a bot wrote it and it bears the marker: anybody can write the marker."""
    by = _mapping(comment.get("user")).get("type")
    return by == "Bot" and isinstance(comment.get("id"), int) and str(comment.get("body")).startswith(MARKER)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [_mapping(each) for each in value] if isinstance(value, list) else []


def comment_on(environment: Mapping[str, str]) -> str:
    """All of it; the address of the comment. Raises Refused and Unavailable."""
    run = environment.get("RUN_ID", "")
    if not run.isascii() or not run.isdigit():
        raise Refused("no run is given: this belongs in a workflow that workflow_run starts")
    api = Api(environment["GITHUB_API_URL"], environment["GITHUB_REPOSITORY"], environment["TOKEN"])
    zipped = artifact(api, int(run), environment.get("ARTIFACT", "seclude"))
    number = pull_request(api, member(zipped, "pull-request.txt", 32), environment.get("HEAD_SHA", ""))
    return post(api, number, body(member(zipped, "comment.md", LARGEST_COMMENT)))


def main() -> int:
    """Says what was done; the exit status is 1 if the API was in the way."""
    try:
        address = " ".join(comment_on(os.environ).split())
    except (Refused, Unavailable) as reason:
        # On one line, after other words: the reason can hold what others wrote, and must begin no workflow command.
        print("no comment is posted:", str(reason).encode("unicode_escape").decode())
        return isinstance(reason, Unavailable)
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as file:
        file.write(f"comment={address}\n")
    print("posted", address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
