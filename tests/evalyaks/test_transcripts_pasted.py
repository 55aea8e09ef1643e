"""Pasted text that begins with a time stamp in brackets, as meeting software writes it, is no JSON."""

from windvane.evalyaks.transcripts.text import read_text


def test_stamps_in_brackets_are_no_json():
    text = (
        "[00:01] Examiner: Where are you from?\n[00:04] Candidate: I come from Pune, it is big.\n[00:09] Examiner: And\nyour school?\n"
        "[0:00:12] Candidate: Far."
    )
    ((line, record),) = read_text(text, 1, "x")
    assert line == 1 and record.said() == "I come from Pune, it is big.\nFar."
    assert record.said("examiner") == "Where are you from?\nAnd your school?" and record.repairs == ()


def test_a_list_is_still_a_list():
    text = ' [{"Examiner": "Where?", "Candidate": "In Pune at 10:30."}]'
    ((_, record),) = read_text(text, 1, "x")
    assert record.said() == "In Pune at 10:30." and record.repairs == ()
    ((_, record),) = read_text(text.replace("},", "},,").replace("[{", "["), 1, "x")
    assert record.said() == "In Pune at 10:30."


def test_numbered_lines_and_quoted_labels_as_word_processors_write_them():
    text = (
        "1. Examiner: Where do you live?\n2. Candidate: In Pune: it is big.\n3) examiner: Why?\n12. My reason: money.\n"
        "\u201cCandidate:\u201d Because.\n\u201cInterlocutor\u201d: And now? 1. Student life: hard."
    )
    ((_, record),) = read_text(text, 1, "x")
    assert record.said() == "In Pune: it is big.\nBecause."
    assert record.said("examiner") == "Where do you live?\nWhy? 12. My reason: money.\nAnd now? 1. Student life: hard."
