"""Changes of files are seen: in names, sizes, times and contents."""

import os

from pipeline.fingerprints import content_digest, listing_digest


def test_a_listing_changes_with_names_sizes_times_and_places(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    file = tmp_path / "a" / "1.png"
    file.write_bytes(b"12")
    seen = [listing_digest(tmp_path)]
    assert listing_digest(tmp_path) == seen[0]
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    seen.append(listing_digest(tmp_path))
    file.write_bytes(b"123")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    seen.append(listing_digest(tmp_path))
    moved = file.rename(tmp_path / "b" / "1.png")
    seen.append(listing_digest(tmp_path))
    seen.append(listing_digest(moved))
    assert len(set(seen)) == len(seen)
    assert listing_digest(tmp_path / "c") is None


def test_a_listing_goes_through_links_to_folders_and_ends(tmp_path):
    inside, elsewhere = tmp_path / "root" / "ant", tmp_path / "elsewhere"
    inside.mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "1.png").write_bytes(b"1")
    (tmp_path / "root" / "bee").symlink_to(elsewhere)
    (inside / "up").symlink_to(tmp_path / "root")
    (inside / "gone.png").symlink_to(tmp_path / "nowhere")
    before = listing_digest(tmp_path / "root")
    assert listing_digest(tmp_path / "root") == before
    (elsewhere / "2.png").write_bytes(b"2")
    assert listing_digest(tmp_path / "root") != before


def test_contents_decide_whatever_the_times(tmp_path):
    file = tmp_path / "labels.npy"
    file.write_bytes(b"12")
    first = content_digest(file)
    os.utime(file, (1, 1))
    assert content_digest(file) == first
    file.write_bytes(b"21")
    assert content_digest(file) != first
    assert content_digest(tmp_path) is None
