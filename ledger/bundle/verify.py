#!/usr/bin/env python3
"""Checks an export bundle of a consent ledger. Standard library only.

    python3 verify.py EXPORT.zip ledger.keys [policy] [--earlier FILE]

ledger.keys holds the ledger's public keys as verifier lines, from somebody you
trust: not from where the export came from. A policy (C2SP tlog-policy) says which
witnesses must have cosigned the checkpoint. --earlier names a checkpoint, or an
export, that you have from before: nothing of it may have changed. Exit code 0: each line says what is
proven and what is not. 5: something is not what it should be. 2: usage.

It is a second implementation of docs/reference/bundle.md, beside the program's own.
"""

import json
import pathlib
import re
import struct
import sys
import zlib

from verify_proof import *

FILE_MAX = 64 << 20
TOKEN_MAX = 256 << 10
CLASSES = ["number", "identity", "origin", "words", "signature"]
HIDDEN = "[\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"


# --- the zip, in its one form ---
NAME = re.compile(r"(?!(?:.*/)?\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")


class Zip:
    """Files by name; every byte outside them is what it must be."""

    def __init__(self, file):
        self.file = file
        size = file.seek(0, 2)
        check(22 <= size < 1 << 32, "it is no zip of a bundle")
        end = self.at(size - 22, 22)
        count, length, start = struct.unpack("<HII", end[10:20])
        form = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, length, start, 0)
        check(end == form and start + length == size - 22, "it is no zip of a bundle, or was cut off")
        check(count < 1 << 16 and length <= count * 246, "it is no zip of a bundle")
        self.files, last, folded, listed = {}, "", set(), self.at(start, length)
        for _ in range(count):
            check(len(listed) >= 46, "a directory cut off")
            crc, size, _, n = struct.unpack("<IIIH", listed[16:30])
            offset, = struct.unpack("<I", listed[42:46])
            check(len(listed) >= 46 + n, "a directory cut off")
            raw, listed, rest = listed[46:46 + n], listed[:46], listed[46 + n:]
            common = struct.pack("<HHHHHIIIHH", 10, 0, 0, 0, 0x21, crc, size, size, n, 0)
            form = struct.pack("<IH", 0x02014B50, 10) + common + bytes(10) + struct.pack("<I", offset)
            check(listed == form and size <= FILE_MAX, "a directory that is not in its one form")
            name = raw.decode("latin-1")
            check(n <= 200 and NAME.fullmatch(name), "a file whose name is not one of a bundle")
            check(name > last and name.lower() not in folded, "names out of order, or twice")
            folded.add(name.lower())
            self.files[name] = offset, struct.pack("<I", 0x04034B50) + common + raw, size, crc
            last, listed = name, rest
        check(not listed, "bytes behind the directory")
        at = 0
        for offset, head, size, _ in sorted(self.files.values()):
            check(offset == at and self.at(at, len(head)) == head, "files that overlap, or a head that is not in its one form")
            at += len(head) + size
            check(at <= start, "files that overlap")
        check(at == start, "bytes between the files and the directory")

    def at(self, offset, size):
        self.file.seek(offset)
        return self.file.read(size)

    def read(self, name):
        check(name in self.files, f"there is no {name}")
        offset, head, size, crc = self.files[name]
        data = self.at(offset + len(head), size)
        check(len(data) == size and zlib.crc32(data) == crc, f"{name} was changed")
        return data


# --- completeness: docs/reference/completeness.md ---
def directory_statement(entry):
    """The position covered, the root and the token key of a DirectoryCommitted."""
    raw = only(entry.fact, 75)
    check(raw is not None, "an entry that is no DirectoryCommitted")
    m = message(raw)
    form, covers, numbers, entries = (m.get(n, (0, b""))[0] for n in (1, 2, 5, 6))
    root, token_key = (m.get(n, (0, b""))[1] for n in (4, 7))
    check(form == 1 and 3 in m and len(root) == 32 and len(token_key) == 32, "a directory of another form")
    check(numbers <= entries <= covers < entry.position and (numbers == 0) == (entries == 0), "a directory with impossible counts")
    return covers, root, token_key


def directory_record(root, key, proof):
    """What a directory of this root holds for the key: count, last position, head."""
    check(len(proof) >= 4 and proof[0] == 1, "no proof of format 1")
    end, n, rest = proof[1], int.from_bytes(proof[2:4], "big"), proof[4:]
    check(n <= 256 and len(rest) >= 32 * n, "a path of an impossible length")
    siblings, rest = [rest[32 * i:32 * i + 32] for i in range(n)], rest[32 * n:]
    bits = [key[d // 8] >> (7 - d % 8) & 1 for d in range(n)]
    record, node = (0, 0, bytes(32)), bytes(32)
    if end == 1:
        check(len(rest) == 64 and rest[:32] != key, "another key that cannot stand there")
        check(all(rest[d // 8] >> (7 - d % 8) & 1 == bits[d] for d in range(n)), "another key that cannot stand there")
        node = sha(b"\x02", rest)
    elif end == 2:
        check(len(rest) == 48, "a proof cut off or too long")
        record = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:16], "big"), rest[16:]
        check(1 <= record[0] <= record[1], "an impossible record")
        node = sha(b"\x02", key, sha(b"\x05", rest))
    else:
        check(end == 0 and not rest, "a proof of another kind")
    for d in reversed(range(n)):
        node = sha(b"\x03", siblings[d], node) if bits[d] else sha(b"\x03", node, siblings[d])
    check(node == root, "the proof does not lead to the directory's root")
    return record


def only_token(key, e164, token, path):
    """Checks that a token is the only one of a number, by the token key."""
    check(len(path) == 16, "a path from a token of another length")
    at, node = int.from_bytes(sha(b"consent.v1/directory-bucket", e164.encode())[:2], "big"), sha(b"\x06", token)
    for beside in path:
        node = sha(b"\x07", beside, node) if at & 1 else sha(b"\x07", node, beside)
        at >>= 1
    check(node == key, "the token is not the number's: it does not lead to the token key")


def history(entry, e164, token, path, proof, events):
    """Checks that the events are all that the directory knew; its position, how many it knew, how many are later."""
    covers, root, token_key = directory_statement(entry)
    check(re.fullmatch(r"\+[0-9]{1,15}", e164) and token[0] == 1, "no number, or no directory token of version 1")
    if path is not None:
        only_token(token_key, e164, token, path)
    want = directory_record(root, sha(b"consent.v1/directory", token, e164.encode()), proof)
    got, later = (0, 0, bytes(32)), 0
    for position, leaf in events:
        if position > covers:
            later += 1
        else:
            got = got[0] + 1, position, sha(b"\x04", got[2], struct.pack(">Q", position), leaf)
    check(got == want, f"{got[0]} events are shown up to position {covers}; the directory has {want[0]}, or they are others")
    return covers, got[0], later


# --- a timestamp (RFC 3161), as far as can be read without checking who signed it ---
def der(raw, *tags):
    """The values of the DER elements that raw begins with, which have these tags, and what follows."""
    values = []
    for tag in tags:
        check(len(raw) > 1 and raw[0] == tag and raw[1] != 0x80, "timestamp.tsr is no timestamp token")
        at = 2 + (raw[1] & 0x7F if raw[1] > 0x7F else 0)
        end = at + (int.from_bytes(raw[2:at], "big") if at > 2 else raw[1])
        check(end <= len(raw), "timestamp.tsr is cut off")
        values.append(raw[at:end])
        raw = raw[end:]
    return values + [raw]


def stamp(token, stamped):
    """The time that a token says, which must be over these bytes."""
    check(len(token) <= TOKEN_MAX, "timestamp.tsr is too long")
    whole, rest = der(token, 0x30)  # ContentInfo
    check(not rest, "bytes behind timestamp.tsr")
    signed = der(der(whole, 6, 0xA0)[1], 0x30)[0]  # SignedData
    info = der(der(der(der(signed, 2, 0x31, 0x30)[2], 6, 0xA0)[1], 4)[0], 0x30)[0]  # TSTInfo
    _, _, imprint, _, at, _ = der(info, 2, 6, 0x30, 2, 0x18)
    algorithm, digest, _ = der(imprint, 0x30, 4)
    check(der(algorithm, 6)[0].hex() == "608648016503040201" and digest == sha(stamped), "timestamp.tsr is over something else than this checkpoint")
    at = re.sub(r"^(....)(..)(..)(..)(..)(..)(\.[0-9]+)?Z$", r"\1-\2-\3T\4:\5:\6Z", at.decode("latin-1"))
    return instant(at) and at


# --- a bundle ---
def say(n, none, one, many):
    return (none, one)[n] if n < 2 else many.format(n)


def count(n, one, many):
    return say(n, "no " + one, "1 " + one, "{} " + many)


def lines(raw):
    check(not raw or raw.endswith(b"\n"), "a last line that does not end")
    return raw.split(b"\n")[:-1]


def parse(line, required, optional=()):
    """A line of JSON in its one encoding, with these keys in this order."""
    try:
        doc = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise Refused("a line that is not the JSON it should be") from None
    check(json.dumps(doc, separators=(",", ":"), ensure_ascii=False).encode() == line, "a line that is not in its one encoding")
    shape(doc, required, optional)
    return doc


def shape(doc, required, optional=()):
    check(isinstance(doc, dict), "a line that is not the JSON it should be")
    keys = [k for k in required if k not in optional or k in doc]
    check(list(doc) == keys, "a line with other keys")


def whole(n, least=0):
    check(type(n) is int and least <= n <= NUMBER_MAX, "a number that is none")
    return n


def text(s, pattern):
    check(isinstance(s, str) and re.fullmatch(pattern, s), "a word that is none")
    return s


class Bundle:
    def __init__(self, file, keys, policy, earlier):
        self.zip, self.keys, self.policy, self.earlier, self.claims = Zip(file), keys, policy, earlier, []
        self.chains, self.cited, self.opened, self.withheld, self.erased = {}, {}, 0, 0, 0
        self.events, self.last, self.named = 0, 0, 0
        for name, step in [("signed", self.signed), ("included", self.included), ("back-linked", self.back_linked),
                           ("disclosed", self.disclosed), ("about", self.about_whom), ("packs", self.packs), ("wordings", self.wordings),
                           ("complete", self.complete), ("consistent", self.consistent), ("timestamped", self.timestamped),
                           ("anchored", self.anchored), ("report", self.report)]:
            try:
                step()
            except Refused as why:
                raise Refused(f"{name}: {why}") from None

    def claim(self, name, proven, said):
        self.claims.append((name, proven, said))

    def signed(self):
        name = only_key(self.keys, "exports", lambda n: n.endswith("/exports"))
        self.manifest(open_note(self.zip.read("manifest"), self.keys, name).split("\n"))
        check(self.origin + "/exports" == name, "a bundle of another ledger")
        listed = self.zip.read("SHA256SUMS")
        check(sha(listed) == self.sums_sum, "SHA256SUMS is not the one signed")
        self.sums, last = {}, ""
        for line in lines(listed):
            match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line.decode("latin-1"))
            check(match and match[2] > last and match[2] not in ("manifest", "SHA256SUMS"), "SHA256SUMS has a line that is none")
            last = match[2]
            self.sums[last] = bytes.fromhex(match[1])
        check(set(self.sums) | {"manifest", "SHA256SUMS"} == set(self.zip.files), "SHA256SUMS does not list the files that are here")
        for file in self.sums:
            self.read(file)
        self.claim("signed", True, f"by {name}, the key you gave: all {len(self.sums) + 2} files are as they were signed")

    def manifest(self, text_lines):
        words = ["produced", "subject", "period", "case", "purpose", "recipient", "disclosed", "checkpoint", "through", "entries", "sums"]
        check(not re.search(HIDDEN, "".join(text_lines)), "a manifest with characters that cannot be seen")
        check(len(text_lines) == 14 and text_lines[0] == "consent-ledger/bundle@v1" and text_lines[13] == "", "it is no manifest of a bundle")
        self.origin, value = text_lines[1], {}
        for word, line in zip(words, text_lines[2:]):
            check(line.startswith(word + " "), "a manifest that is not in its one encoding")
            value[word] = line[len(word) + 1:]
        self.value, _ = value, instant(value["produced"])
        kind, _, who = value["subject"].partition(" ")
        check(kind in ("numbers", "seller"), "a manifest about nobody")
        self.who, self.numbers_signed = who, number(who) if kind == "numbers" else 0
        check((kind == "numbers") == (self.numbers_signed > 0), "a manifest about nobody")
        period = value["period"].split(" ")
        check(len(period) == 2, "a period that is none")
        self.period = [end != "-" and instant(end) for end in period]
        given = [] if value["disclosed"] == "none" else value["disclosed"].split(",")
        check([c for c in CLASSES if c in given] == given, "classes that are none")
        self.classes, self.classes_said = [CLASSES.index(c) + 1 for c in given], value["disclosed"]
        size, _, root = value["checkpoint"].partition(" ")
        self.size, self.root = number(size), base(root)
        self.through, self.entries = number(value["through"]), number(value["entries"])
        check(len(self.root) == 32 and re.fullmatch("[0-9a-f]{64}", value["sums"]), "a manifest that cannot be read")
        self.sums_sum = bytes.fromhex(value["sums"])

    def read(self, name):
        check(name in self.sums, f"there is no {name}")
        data = self.zip.read(name)
        check(sha(data) == self.sums[name], f"{name} is not the one signed")
        return data

    def included(self):
        check(open_checkpoint(self.read("checkpoint"), self.keys) == (self.origin, self.size, self.root) and self.through <= self.size,
              "the checkpoint is another than the manifest says")
        self.read_numbers()
        parts = [n for n in self.sums if n.startswith("entries/") and n.endswith(".jsonl")]
        check(sorted(parts) == [f"entries/{i + 1:06d}.jsonl" for i in range(len(parts))], "parts of the entries are missing")
        for part in sorted(parts):
            for line in lines(self.read(part)):
                self.entry(line)
        check(self.events == self.entries, f"{self.events} entries are here, {self.entries} were signed")
        for line in lines(self.read("cited.jsonl")):
            _, position, n, entry, opened = self.record(line)
            check(position not in self.cited and n == 0 and not opened and not entry.person, f"position {position} is cited twice, or is about somebody")
            self.cited[position] = entry
        self.claim("included", True, f"{count(self.events, 'entry', 'entries')}, and {count(len(self.cited), 'other', 'others')} that they cite, "
                   f"are in the ledger of {count(self.size, 'entry', 'entries')} that its checkpoint fixes")
        self.claim("unchanged", True, "the bytes of each entry are those that the checkpoint fixes, at its position")

    def read_numbers(self):
        self.numbers, self.about = [], []
        for line in lines(self.read("numbers.jsonl")):
            n = parse(line, ["number", "e164", "entries", "persons"], ["e164"])
            check(whole(n["number"], 1) == len(self.numbers) + 1 and isinstance(n["persons"], list), "numbers.jsonl is not in order")
            whole(n["entries"])
            text(n.get("e164", "+1"), r"\+[0-9]+")
            persons = []
            for p in n["persons"]:
                shape(p, ["person", "entries", "head"])
                persons.append((base(p["person"]), whole(p["entries"], 1), base(p["head"])))
                check(persons[-1][0] and len(persons[-1][2]) == 32, "numbers.jsonl has a line that is none")
            self.numbers.append((n.get("e164", ""), n["entries"], persons))
            self.about.append([])
        check(len(self.numbers) == self.numbers_signed, f"{len(self.numbers)} numbers are here, {self.numbers_signed} were signed")

    def record(self, line):
        r = parse(line, ["position", "number", "entry", "path", "opened"], ["number", "opened"])
        position, n, raw = whole(r["position"], 1), whole(r.get("number", 1), 1) if "number" in r else 0, base(r["entry"])
        check(0 < len(raw) <= ENTRY_MAX, "an entry of an impossible size")
        path = hashes(r["path"])
        entry, opened = Entry(raw), []
        check(entry.position == position <= self.size, f"an entry that says another position than {position}")
        check(included(entry.leaf, position - 1, self.size, path, self.root), f"these bytes are not the ledger's entry {position}")
        if "opened" in r:
            check(isinstance(r["opened"], list) and r["opened"], "a line that is not in its one encoding")
            for o in r["opened"]:
                shape(o, ["field", "salt", "value"])
                opened.append((text(o["field"], "[0-9.]+").encode(), base(o["salt"]), base(o["value"])))
        return r, position, n, entry, opened

    def entry(self, line):
        _, position, n, entry, opened = self.record(line)
        check(self.last < position <= self.through and n <= len(self.numbers) and (n == 0) == (not self.numbers),
              f"position {position} is out of order, or of a number that is not named")
        self.last, self.events = position, self.events + 1
        if n:
            self.about[n - 1].append((position, entry.leaf))
            self.link(position, n, entry)
        self.withheld += len(entry.parts) - len(opened)
        check(len({field for field, _, _ in opened}) == len(opened), f"disclosed: position {position} opens a part twice")
        for field, salt, value in opened:
            parts = [p for p in entry.parts if p[1] == field]
            check(len(parts) == 1 and len(salt) == 32, f"disclosed: position {position} opens a part that it does not have")
            cls, _, sealed = parts[0]
            check(cls in self.classes, f"disclosed: position {position} opens a part of a class that the manifest does not name")
            check(commitment(cls, field, salt, value) == sealed, f"disclosed: a part of position {position} is not what was sealed")
            check(field != b"1" or not n or value == self.numbers[n - 1][0].encode(), f"disclosed: position {position} is about another number")
            self.opened, self.named = self.opened + 1, self.named + (field == b"1" and n > 0)
        since, until = self.period
        check(not (since or until) or entry.recorded[0] <= NUMBER_MAX and entry.recorded[1] < 10**9
              and (not since or since <= entry.recorded) and (not until or entry.recorded < until),
              f"about: position {position} was not recorded in the period")
        sellers = [] if n else [data for field, _, data in fields(entry.fact) if field == 2]
        check(n or self.who.encode() in sellers or b"all" in sellers, f"about: position {position} is not about the seller")

    def link(self, position, n, entry):
        if not entry.person:
            check(only(entry.fact, 61) is not None and entry.seq == 0, f"position {position} is about no person")
            self.erased += 1
            return
        of, seq, leaf = self.chains.get(entry.person, (n, 0, b""))
        first = entry.seq == 1 and not entry.prev
        check(of == n and entry.seq == seq + 1 and (first or entry.prev == leaf and leaf), f"back-links: before position {position} an entry of its person is missing")
        self.chains[entry.person] = n, entry.seq, entry.leaf

    def back_linked(self):
        if not self.numbers:
            return self.claim("back-linked", False, "not claimed: the entries of a seller are a selection from the history of each person")
        persons = 0
        for i, (_, entries, holders) in enumerate(self.numbers):
            check(len(self.about[i]) == entries, f"{len(self.about[i])} entries are about number {i + 1}, {entries} were signed")
            for person, seq, head in holders:
                check(self.chains.get(person) == (i + 1, seq, head), f"the last entries of a person of number {i + 1} are missing")
                persons += 1
        check(persons == len(self.chains), f"entries are about {len(self.chains)} persons, {persons} were signed")
        numbers = count(len(self.numbers), "number", "numbers")
        said = f"the entries of {count(persons, 'holder', 'holders')} of {numbers} link back to the first without a gap, and end with the last one signed"
        erased = say(self.erased, "", "; 1 erasure is among them", "; {} erasures are among them")
        self.claim("back-linked", True, (said if persons else f"no entry of a holder of {numbers} is here") + erased)

    def disclosed(self):
        shown = say(self.opened, "no personal part is shown", "1 personal part is what was sealed when it was recorded",
                    "{} personal parts are what was sealed when they were recorded")
        self.claim("disclosed", True, f"{shown} ({self.classes_said}); {say(self.withheld, 'none is withheld', '1 is withheld', '{} are withheld')}")

    def about_whom(self):
        if not self.numbers:
            said = say(self.events, "no entry is here", "the entry names the seller, or all sellers", "each of the {} entries names the seller, or all sellers")
            return self.claim("about", True, said + (", and was recorded in the period" if self.events and any(self.period) else ""))
        rest = self.events - self.named
        if not rest:
            return self.claim("about", True, say(self.events, "no entry is here", "the entry shows the number that it is about",
                                                 "each of the {} entries shows the number that it is about"))
        shown = say(self.named, "no entry shows the number that it is about", "1 entry shows the number that it is about",
                    "{} entries show the number that they are about")
        self.claim("about", False, f"{shown}; {say(rest, '', '1 is about it', '{} are about it')} by the operator's word, "
                   f"{'its' if rest == 1 else 'their'} number being withheld or erased")

    def published(self, kind):
        """The facts of a kind among the cited entries."""
        facts = [only(entry.fact, kind) for entry in self.cited.values()]
        return [f for f in facts if f is not None]

    def files(self, folder, ending, published, what):
        """The files of a folder, each named by its hash, which the ledger published."""
        found = [n for n in self.sums if n.startswith(folder)]
        for name in found:
            check(name == folder + self.sums[name].hex() + ending and self.sums[name] in published, f"{name} is no {what} that the ledger published")
        return found

    def packs(self):
        found = self.files("packs/", ".yaml", {only(f, 5) for f in self.published(52)}, "rule pack")
        self.claim("packs", True, say(len(found), "no rule pack is here", "1 rule pack is the file that the ledger published",
                                      "{} rule packs are the files that the ledger published"))

    def wordings(self):
        published, named = {}, set()
        for fact in self.published(51):
            word, digest = only(fact, 1) or b"", only(fact, 4) or b""
            check(re.fullmatch(rb"[a-z0-9_-]+", word) and len(digest) == 32 and word not in named, "a wording is published twice, or as none")
            named.add(word)
            published.setdefault(digest, []).append(word.decode())
        found = self.files("wordings/", ".txt", published, "wording")
        words = ", ".join(sorted(w for name in found for w in published[self.sums[name]]))
        self.claim("wordings", True, say(len(found), "no text of a wording is here", "1 text is what the ledger published as: ",
                                         "{} texts are what the ledger published as: ") + words)

    def consistent(self):
        held = None if self.earlier is None else open_checkpoint(self.earlier, self.keys)[1:]
        shown, known = 0, {self.size: self.root}
        if "consistency.txt" in self.sums:
            head, found, note = self.read("consistency.txt").partition(b"\n\n")
            header, *path = head.decode("latin-1").split("\n")
            check(found and header == "consent-ledger/consistency@v1" and len(path) < 128, "consistency.txt is no proof of consistency")
            _, shown, root = open_checkpoint(note, self.keys)
            check(consistent(root, shown, self.root, self.size, hashes(path)), f"the checkpoint of {shown} entries is no beginning of this one: the ledger signed two histories")
            known[shown] = root
        check(not held or known.get(held[0], held[1]) == held[1], "the ledger signed two histories: the checkpoint you hold, and another of its size")
        if held and held[0] == self.size:
            said = "the checkpoint you hold is the one of this bundle"
        elif held and held[0] == shown:
            said = f"of the {shown} entries that the checkpoint you hold speaks of, none was changed, moved or left out since"
        elif held:
            said = f"nothing leads here from the checkpoint of {held[0]} entries that you hold; ask for an export since it"
        elif shown:
            said = f"the checkpoint of {shown} entries in consistency.txt is a beginning of this one; compare it with the one you hold"
        else:
            said = "no earlier checkpoint was compared, so another history may have been signed before"
        self.claim("consistent", held[0] in known if held else shown > 0, said)

    def complete(self):
        by = covers = shown = later = last = 0
        bound = True
        for line in lines(self.read("completeness.jsonl")):
            c = parse(line, ["number", "directory", "token", "proof", "tokenPath"], ["tokenPath"])
            n, at = whole(c["number"], 1), whole(c["directory"], 1)
            token, proof, path = base(c["token"]), base(c["proof"]), hashes(c["tokenPath"]) if "tokenPath" in c else None
            check(len(token) == 17, "a directory token of another length")
            check(last < n <= len(self.numbers) and at in self.cited and by in (0, at), "completeness.jsonl names a number or a directory that is not here")
            covers, known, more = history(self.cited[at], self.numbers[n - 1][0], token, path, proof, self.about[n - 1])
            by, last, bound = at, n, bound and path is not None
            if path is not None or known:  # under a made-up token there is nothing
                shown, later = shown + 1, later + more
        numbers, up = count(len(self.numbers), "number", "numbers"), f"up to position {covers}, by the directory at position {by}"
        place = "in which {} one place" if bound else "if {} the one place there that its key gives it"
        if not by and not self.numbers:
            said = "completeness: unproven; a directory lists numbers and not sellers, so entries may have been left out"
        elif not by:
            said = "completeness: unproven; no directory of all numbers is in this bundle, so entries after the last one, or persons, may have been left out"
        elif shown < len(self.numbers):
            said = f"completeness: unproven for {len(self.numbers) - shown} of {numbers}; about the others nothing was left out {up}"
        else:
            said = f"nothing about {numbers} was left out {up}, {place.format('it has' if shown == 1 else 'each has')}; {count(later, 'later entry is', 'later entries are')} here"
        self.claim("complete", not said.startswith("completeness: unproven"), said)

    def timestamped(self):
        said = "by nobody: no timestamp is here, so when all this existed is the operator's word"
        if "timestamp.tsr" in self.sums:
            said = f"not checked: a token over this checkpoint says {stamp(self.read('timestamp.tsr'), self.read('checkpoint'))}; this script cannot tell who " \
                "signed it; unzip, and: openssl ts -verify -data checkpoint -in timestamp.tsr -token_in -CAfile CA.pem"
        self.claim("timestamped", False, said)

    def anchored(self):
        if self.policy is None:
            self.claim("anchored", False, "operator only: no witness's word was taken, so others may have been shown another history")
        else:
            names = set()
            check(cosigned(self.read("checkpoint"), self.policy, names),
                  "the checkpoint is not cosigned by as many witnesses as the policy demands: it is the operator's word alone")
            self.claim("anchored", True, f"by as many witnesses as your policy demands: {', '.join(sorted(names))}; each saw this as the one history")

    def report(self):
        self.claim("tables", False, "not compared by this script; consent verify compares each row with its entry")
        self.claim("report", False, "the report and the decisions are the operator's words, signed and not proven; what is proven are the entries")

    def about_lines(self):
        """What the manifest signs about the bundle, for people."""
        value, entries = self.value, ("entry", "entries")
        out = [(word, value[word]) for word in ("case", "purpose", "recipient") if value[word] != "-"]
        for e164, n, holders in self.numbers:
            out.append(("number", f"{e164 or 'not disclosed'}: {count(n, *entries)} of {count(len(holders), 'holder', 'holders')}"))
        if not self.numbers:
            out.append(("seller", f"{self.who}: {count(self.entries, *entries)}"))
        since, until = value["period"].split(" ")
        period = [f"recorded {word} {end}" for word, end in (("from", since), ("before", until)) if end != "-"]
        return out + [("period", ", ".join(period + [f"up to position {self.through}"])), ("produced", value["produced"]),
                      ("checkpoint", f"{count(self.size, *entries)}, root {value['checkpoint'].split(' ')[1]}")]


def verify(file, keys_text, policy_text=None, earlier=None):
    """What a bundle in an open file is about, and its claims; Refused if one does not hold.

    earlier is an open file with a checkpoint that the reader holds, or a bundle with one."""
    held = None if earlier is None else earlier.read(NOTE_MAX + 1)
    if held is not None and held[:2] == b"PK":
        held = Zip(earlier).read("checkpoint")
    bundle = Bundle(file, parse_keys(keys_text), None if policy_text is None else parse_policy(policy_text), held)
    return bundle.about_lines(), bundle.claims


def main(args):
    earlier = None
    if "--earlier" in args[:-1]:
        at = args.index("--earlier")
        earlier, args = args[at + 1], args[:at] + args[at + 2:]
    if len(args) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        texts = [pathlib.Path(name).read_text(encoding="utf-8") for name in args[1:]]
        with open(args[0], "rb") as f, open(earlier or args[0], "rb") as held:
            about, claims = verify(f, texts[0], texts[1] if texts[1:] else None, held if earlier else None)
    except Refused as why:
        print(f"verify.py: REFUSED: {why}", file=sys.stderr)
        return 5
    except OSError as why:
        sys.exit(f"verify.py: {why}")
    for name, said in about + [("", "")] + [(name, said) for name, _, said in claims]:
        print(f"{name:<12}{said}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
