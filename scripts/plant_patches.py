#!/usr/bin/env python3
"""The planted bugs: sim/plants/NAME.patch, one known mistake each. The product does not contain them.

usage: scripts/plant_patches.py check               fails if a patch does not fit the source
       scripts/plant_patches.py write DIRECTORY     copies the source there, with all patches applied

A patch begins with what the mistake is, and how it is caught. Then follow hunks against the source as it
is, each of which asks `Planted("NAME")` (sim/plants/planted.h). So one build holds all mistakes, and the
environment variable CAIRN_PLANT chooses one. Line numbers may be stale: a hunk goes where its lines
stand, the nearest place first. Hunks may share their context, but not the lines that they replace.
"""
import dataclasses
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "sim" / "plants"
HEADER = "src/base/planted.h"  # in the copy
CAUGHT_BY = re.compile(r"^Caught by: (?:profile (?P<profile>\w+)|test (?P<target>\w+) (?P<case>\S+))$",
                       re.MULTILINE)
FILES = re.compile(r"^--- a/(?P<file>\S+)\n\+\+\+ b/(?P=file)\n", re.MULTILINE)
HUNK = re.compile(r"^@@ -(\d+).*\n", re.MULTILINE)


class Misfit(Exception):
    """A patch that is malformed, or that does not fit."""


@dataclasses.dataclass(order=True)
class Edit:
    """Of the lines of a file: from `begin` up to `end` are replaced by `lines`."""
    begin: int
    end: int
    plant: str
    lines: list


@dataclasses.dataclass
class Plant:
    name: str
    about: str
    profile: str | None  # the simulator's, or
    test: tuple | None   # the test program and its case
    edits: dict          # of each file


def place_of(old, lines, near, misfit):
    places = [at for at in range(len(lines) - len(old) + 1) if lines[at:at + len(old)] == old]
    if not places:
        raise Misfit(f"{misfit}: move the planted bug to where the rule stands now. It looks for:\n"
                     + "".join("    " + line for line in old))
    return min(places, key=lambda at: abs(at - near))


def edits_of(name, hunk, file, lines):
    """What a hunk changes, without its context."""
    near = int(HUNK.match(hunk).group(1)) - 1
    body = [line if line != "\n" else " \n" for line in hunk.splitlines(keepends=True)[1:]]
    while body and body[-1] == " \n":  # what separates it from the next part of the patch
        body.pop()
    if f'Planted("{name}")' not in hunk and "#include" not in hunk:
        raise Misfit(f'{name}.patch: a hunk for {file} does not ask Planted("{name}")')
    at = place_of([line[1:] for line in body if line[0] in " -"], lines, near,
                  f"{name}.patch does not fit {file}")
    found, fresh = [], True
    for line in body:
        if line[0] == " ":
            at, fresh = at + 1, True
            continue
        if fresh:
            found.append(Edit(at, at, name, []))
            fresh = False
        if line[0] == "-":
            at = found[-1].end = at + 1
        else:
            found[-1].lines.append(line[1:])
    return found


def load_one(path, sources):
    text, name = path.read_text(), path.stem
    head, *parts = FILES.split(text)
    caught = CAUGHT_BY.search(head)
    if not caught or not parts:
        raise Misfit(f"{path.name} says not how it is caught, or changes no file")
    edits = {}
    for file, hunks in zip(parts[::2], parts[1::2]):
        if not (ROOT / file).is_file():
            raise Misfit(f"{path.name}: there is no {file}")
        lines = sources.setdefault(file, (ROOT / file).read_text().splitlines(keepends=True))
        starts = [found.start() for found in HUNK.finditer(hunks)] + [len(hunks)]
        edits[file] = [edit for begin, end in zip(starts, starts[1:])
                       for edit in edits_of(name, hunks[begin:end], file, lines)]
    test = (caught["target"], caught["case"]) if caught["target"] else None
    return Plant(name, head[:caught.start()].strip(), caught["profile"], test, edits)


def load():
    """Every planted bug by its name, and the patched text of every file that one of them changes."""
    sources, plants, patched, misfits = {}, {}, {}, []
    for path in sorted(FOLDER.glob("*.patch")):
        try:
            plants[path.stem] = load_one(path, sources)
        except Misfit as misfit:
            misfits.append(str(misfit))
    if misfits:
        raise Misfit("\n".join(misfits))
    for file, lines in sources.items():
        edits = sorted(edit for plant in plants.values() for edit in plant.edits.get(file, []))
        for earlier, later in zip(edits, edits[1:]):
            if later.begin < earlier.end:
                raise Misfit(f"{earlier.plant}.patch and {later.plant}.patch replace the same line of {file}")
        lines = list(lines)
        for edit in reversed(edits):
            lines[edit.begin:edit.end] = edit.lines
        patched[file] = f'#include "{HEADER.removeprefix("src/")}"\n' + "".join(lines)
    return plants, patched


def write(directory):
    """Touches only what differs, so that the next build of the copy is short."""
    _, patched = load()
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                             capture_output=True, text=True).stdout.split("\n")
    wanted = {name: (ROOT / name).read_bytes() for name in tracked if name and (ROOT / name).is_file()}
    wanted.update({name: text.encode() for name, text in patched.items()})
    wanted[HEADER] = (FOLDER / "planted.h").read_bytes()
    for name, data in wanted.items():
        path = directory / name
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod((ROOT / name).stat().st_mode if (ROOT / name).is_file() else 0o644)
    for path in directory.rglob("*"):
        name = path.relative_to(directory)
        if path.is_file() and name.parts[0] != "build" and str(name) not in wanted:
            path.unlink()


def main():
    try:
        if sys.argv[1:] == ["check"]:
            load()
        elif len(sys.argv) == 3 and sys.argv[1] == "write":
            write(pathlib.Path(sys.argv[2]))
        else:
            sys.exit(__doc__)
    except Misfit as misfit:
        sys.exit(f"error: sim/plants: {misfit}")


if __name__ == "__main__":
    main()
