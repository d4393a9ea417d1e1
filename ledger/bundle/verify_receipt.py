#!/usr/bin/env python3
"""Checks a receipt of a consent ledger: of an entry, or of a decision. Standard library only.

    python3 verify_receipt.py FILE.receipt ledger.keys [+NUMBER]

ledger.keys holds the ledger's public keys as verifier lines, from somebody you
trust: not from where the receipt came from. A number, with its country code, is held
against the one that a decision is about. Exit code 0: each line says what the receipt
shows. 5: something is not what it should be. 2: usage.

It is a second implementation of docs/reference/proof.md, beside the program's own.
"""

import pathlib
import sys

from verify_proof import *

FILE_MAX = 1 << 18
GROUP_MAX = 1 << 18
ENTRY, DECISION = "consent-ledger/receipt@v1", "consent-ledger/decision-receipt@v1"
# The lines of a statement, in their order; ! must be there, + may be there several times.
LINES = ("id! decided! number unreadable campaign seller channel purpose programme subject sector sells opt-out-notice at! as-of "
         "verdict! basis reason+ position! pack+ list+ tzdata valid-until next-allowed").split()


def group(note, keys, header):
    """What one signature says of things that became durable together: place, how many, when, how durable, root."""
    name = only_key(keys, "receipts", lambda n: n.endswith("/receipts"))
    lines = open_note(note, keys, name).split("\n")
    check(len(lines) == 8 and lines[7] == "" and lines[0] == header, f"its note does not begin with {header}")
    check(lines[1] + "/receipts" == name, "a receipt of another ledger")
    place, many, root = number(lines[2]), number(lines[3]), base(lines[6])
    check(place > 0 and 0 < many <= GROUP_MAX and len(root) == 32, "a group of an impossible size")
    check(instant(lines[4]) and lines[5] in ("fsync", "lazy", "unverified"), "a durability that is none")
    return name, place, many, lines[4], lines[5], root


def entry_receipt(raw, keys):
    """What the receipt of an entry shows, a word and a text each."""
    head, found, note = raw.partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")
    check(found and len(lines) >= 3, "it is no receipt")
    what, _, value = lines[1].partition(" ")
    shown = base(value)
    check(what == "leaf" and len(shown) == 32 or what == "entry" and 0 < len(shown) <= ENTRY_MAX, "a receipt of an impossible size")
    leaf = shown if what == "leaf" else leaf_hash(shown)
    check(lines[2].startswith("position "), "a receipt without a position")
    position, path = number(lines[2][9:]), hashes(lines[3:])
    name, first, many, recorded, durability, root = group(note, keys, "consent-ledger/commit@v1")
    check(first <= position < first + many, f"position {position} is not among those signed")
    check(included(leaf, position - first, many, path, root), f"these bytes are not what was signed for position {position}")
    if what == "entry":
        check((Entry(shown).position, Entry(shown).recorded) == (position, instant(recorded)), "the entry says another position or time")
    return [("signed", f"by {name}, the key you gave"), ("recorded", f"position {position}, at {recorded}, durability {durability}"),
            ("unchanged", f"leaf hash {leaf.hex()}")]


def statement(text):
    """The lines of a statement, by their words."""
    lines, found, at = text.split("\n"), {}, 0
    check(lines[0] == "consent-ledger/decision@v1", "a statement that is none")
    for line in lines[1:]:
        word, _, value = line.partition(" ")
        while at < len(LINES) and LINES[at].rstrip("!+") != word:
            check(LINES[at][-1] != "!" or LINES[at][:-1] in found, "a statement with a line left out")
            at += 1
        plain = value.strip(" ") == value and "  " not in value and not re.search("[\x00-\x1f\x7f]", value)
        check(at < len(LINES) and value and plain, "a statement that is not in its one encoding")
        check(word not in found or LINES[at].endswith("+"), "a statement with a line twice")
        found.setdefault(word, []).append(value)
    check(all(w[:-1] in found for w in LINES if w.endswith("!")), "a statement with a line left out")
    check(("number" in found) != ("unreadable" in found), "a statement about no number, or two")
    check(re.fullmatch("[0-9a-f]{32}", found["id"][0]) and found["verdict"][0] in ("ALLOW", "BLOCK"), "a statement that cannot be read")
    check({"yes"} >= set(found.get("sells", []) + found.get("opt-out-notice", [])), "a statement that cannot be read")
    number(found["position"][0])
    for word in ("decided", "at", "as-of", "valid-until", "next-allowed"):
        instant(found.get(word, found["at"])[0])
    return found


def decision_receipt(raw, keys, asked):
    """What the receipt of a decision shows, a word and a text each."""
    said, found, rest = raw.partition(b"\n\n")
    place, also, note = rest.partition(b"\n\n")
    said = said.partition(b"\n")[2]
    check(found and also, "it is no decision receipt")
    lines, salt = place.decode("latin-1").split("\n"), None
    if lines[0].startswith("salt "):
        salt = base(lines.pop(0)[5:])
        check(len(salt) == 32, "a salt of another length")
    check(lines and lines[0].startswith("index "), "a statement without its place")
    index, path = number(lines[0][6:]), hashes(lines[1:])
    name, sequence, many, recorded, durability, root = group(note, keys, "consent-ledger/decisions@v1")
    check(index < many and included(leaf_hash(said + b"\n"), index, many, path, root), "this answer is not among those signed")
    try:
        s = statement(said.decode())
    except UnicodeDecodeError:
        raise Refused("a statement that is not UTF-8") from None
    sealed = base(s.get("number", s.get("unreadable"))[0])
    about = "not compared: give it as the third argument" if salt else "sealed: the receipt holds no salt, so nobody can tell"
    if asked is not None:
        check(salt, "the receipt holds no line salt: which number it is about cannot be shown")
        check(commitment(1, b"decision.number", salt, asked.encode()) == sealed, "the decision is not about this number, or the receipt's salt was changed")
        about = "it is the one you gave"
    out = [("signed", f"by {name}, the key you gave"), ("decided", f"{s['verdict'][0]} at {s['decided'][0]}, as decision {s['id'][0]}")]
    for word, values in s.items():
        if word not in ("verdict", "decided", "id", "number", "unreadable"):
            out += [(word, value) for value in values]
    return out + [("kept", f"in message {sequence} of attempts, at {recorded}, durability {durability}"), ("number", about)]


def verify(raw, keys_text, asked=None):
    """What a receipt shows; Refused if something is not what it should be."""
    keys, first = parse_keys(keys_text), raw.partition(b"\n")[0].decode("latin-1")
    check(len(raw) <= FILE_MAX and first in (ENTRY, DECISION), "it is no receipt")
    if first == DECISION:
        return decision_receipt(raw, keys, asked)
    check(asked is None, "a number is for receipts of decisions")
    return entry_receipt(raw, keys)


def main(args):
    if len(args) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        shown = verify(pathlib.Path(args[0]).read_bytes(), pathlib.Path(args[1]).read_text(encoding="utf-8"), args[2] if args[2:] else None)
    except Refused as why:
        print(f"verify_receipt.py: REFUSED: {why}", file=sys.stderr)
        return 5
    except OSError as why:
        sys.exit(f"verify_receipt.py: {why}")
    for name, said in shown:
        print(f"{name:<15}{said}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
