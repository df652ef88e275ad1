"""The Hamming join against brute force, under every kind of plan."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imkin.errors import UsageError
from imkin.join import hamming, hamming_plan, hamming_tables
from imkin.join.hamming import cross_join, distinct, self_join
from imkin.join.hamming_plan import Block, Plan, choose, count_bits, measure, take_bits


def brute_force(a, b, radius):
    """Every (i, j, bits) with bits <= radius, one pair after the other."""
    found = []
    for i in range(len(a)):
        for j in range(len(b)):
            bits = (int.from_bytes(a[i]) ^ int.from_bytes(b[j])).bit_count()
            if bits <= radius:
                found.append((i, j, bits))
    return found


def brute_force_self(codes, radius):
    return [(i, j, bits) for i, j, bits in brute_force(codes, codes, radius) if i < j]


def as_list(joined):
    left, right, bits = joined
    assert (left.dtype, right.dtype, bits.dtype) == (np.int64, np.int64, np.int16)
    return list(zip(left.tolist(), right.tolist(), bits.tolist(), strict=True))


def flipped(code, places):
    """A copy of a code with the bits at the given places turned over."""
    out = code.copy()
    for place in places:
        out[place // 8] ^= np.uint8(1 << (place % 8))
    return out


def clustered(rng, n, nbytes, *, centres, spread, fixed_bytes=0):
    """n codes around a few centres, up to `spread` bits away, the first bytes of all alike."""
    codes = rng.integers(0, 256, (centres, nbytes), dtype=np.uint8)[rng.integers(0, centres, n)]
    for k in range(n):
        places = rng.choice(8 * nbytes, rng.integers(0, spread + 1), replace=False)
        codes[k] = flipped(codes[k], places)
    codes[:, :fixed_bytes] = 7
    return codes


def plans_for(bits, radius):
    """A plan of each kind that covers the radius: none, one block of many parts, many blocks, and mixtures."""
    plans = [None, Plan()]
    for count in range(1, radius + 2):
        errors = [(radius + 1) // count - (at >= (radius + 1) % count) for at in range(count)]
        edges = [bits * at // count for at in range(count + 1)]
        for spare in (1, 2, 3):
            parts = [e + spare for e in errors]
            if all(p <= hi - lo for p, lo, hi in zip(parts, edges, edges[1:], strict=False)):
                plans.append(Plan(tuple(map(Block, edges, edges[1:], errors, parts))))
    return [p for p in plans if p is None or sum(1 for _ in p.tables()) <= 40]


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_both_joins_equal_brute_force_for_every_plan(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    nbytes = data.draw(st.integers(1, 11) | st.sampled_from([24, 32]))
    radius = data.draw(st.integers(0, min(8 * nbytes, 12)) | st.just(8 * nbytes))
    n, split = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40))
    codes = clustered(
        rng,
        n,
        nbytes,
        centres=data.draw(st.integers(1, 12)),
        spread=data.draw(st.integers(0, min(8 * nbytes, radius + 3))),
        fixed_bytes=data.draw(st.integers(0, nbytes)),
    )
    plan = data.draw(st.sampled_from(plans_for(8 * nbytes, radius) if radius <= 12 else [None, Plan()]))
    with pytest.MonkeyPatch.context() as patch:
        # Small limits, so that forty codes reach hot buckets, their own plans, and the ends of tiles and windows.
        tile = data.draw(st.integers(2, 90))
        patch.setattr(hamming_tables, "TILE", tile)
        for name, most in (("HOT_PAIRS", tile), ("FEW_PAIRS", 100), ("STRIPE", 9)):
            patch.setattr(hamming_tables, name, data.draw(st.integers(min(2, most), most), label=name))
        patch.setattr(hamming, "FEW_CODES", data.draw(st.sampled_from([0, 5, 256])))
        key_bits = data.draw(st.integers(1, 32))
        patch.setattr(hamming_tables, "KEY_BITS", key_bits)
        patch.setattr(hamming_plan, "KEY_BITS", key_bits)
        patch.setattr(hamming_tables, "TILE_ROWS", data.draw(st.integers(1, 2)))
        assert as_list(self_join(codes, radius, plan=plan, jobs=1)) == brute_force_self(codes, radius)
        a, b = codes[:split], codes[split:]
        assert as_list(cross_join(a, b, radius, plan=plan, jobs=1)) == brute_force(a, b, radius)


@pytest.mark.parametrize(("nbytes", "radius"), [(8, 1), (8, 6), (8, 10), (8, 19), (24, 20), (32, 31)])
def test_neighbours_planted_around_the_radius_are_found_up_to_it(nbytes, radius):
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 256, (3000, nbytes), dtype=np.uint8)
    planted = [(radius - 1, 0, 1000), (radius, 1, 1001), (radius, 2, 1002), (radius + 1, 3, 1003)]
    for bits, i, j in planted:
        codes[j] = flipped(codes[i], rng.choice(8 * nbytes, bits, replace=False))
        assert brute_force(codes[i : i + 1], codes[j : j + 1], 8 * nbytes) == [(0, 0, bits)]
    for plan in (
        None,
        Plan(),
        choose(measure([hamming.to_words(codes)], 8 * nbytes, radius=radius), radius, rows=3000, pairs=1e11),
    ):
        found = as_list(self_join(codes, radius, plan=plan))
        for bits, i, j in planted:
            assert ((i, j, bits) in found) == (bits <= radius)
            assert (bits <= radius) == any((i, j) == pair[:2] for pair in found)
    crossed = {(i, j + 1000, bits) for i, j, bits in as_list(cross_join(codes[:4], codes[1000:], radius))}
    assert {(i, j, bits) for bits, i, j in planted if bits <= radius} <= crossed


def test_a_large_real_like_set_gives_what_blocked_brute_force_gives():
    rng = np.random.default_rng(6)
    codes = np.concatenate(
        [clustered(rng, 3000, 8, centres=300, spread=9), rng.integers(0, 256, (9000, 8), dtype=np.uint8)]
    )
    for radius in (0, 2, 6, 10):
        expected = self_join(codes, radius, plan=Plan())
        assert len(expected[0]) > 0
        found = self_join(
            codes,
            radius,
            plan=choose(measure([hamming.to_words(codes)], 64, radius=radius), radius, rows=10**5, pairs=1e12),
        )
        assert as_list(found) == as_list(expected)
        assert as_list(self_join(codes, radius)) == as_list(expected)


def test_every_plan_that_is_chosen_covers_its_radius():
    words = np.random.default_rng(7).integers(0, 2**64, (4, 4096), dtype=np.uint64)
    for bits, radii in ((64, range(1, 24)), (256, (1, 5, 16, 31, 40, 90))):
        for radius in radii:
            sample = measure([words[: bits // 64]], bits, radius=radius)
            for rows in (1000, 100_000, 10_000_000):
                plan = choose(sample, radius, rows=rows, pairs=rows**2 / 2)
                assert plan.covers(radius)
                assert not plan.blocks or (plan.blocks[0].lo, plan.blocks[-1].hi) == (0, bits)


def test_every_difference_within_the_radius_is_owned_by_exactly_one_table():
    rng = np.random.default_rng(8)
    for plan, radius in (
        (Plan((Block(0, 64, 6, 8),)), 6),
        (Plan((Block(0, 34, 3, 6), Block(34, 64, 2, 4))), 6),
        (Plan(tuple(Block(16 * k, 16 * k + 16, 1, 8) for k in range(4))), 7),
    ):
        assert plan.covers(radius)
        assert not plan.covers(radius + 1)
        codes = np.stack(
            [flipped(np.zeros(8, np.uint8), rng.choice(64, k % (radius + 1), replace=False)) for k in range(500)]
        )
        words, owners = hamming.to_words(codes), np.zeros(500, int)
        for table in plan.tables():
            bucket = np.flatnonzero(sum(count_bits(words, part).astype(int) for part in table.kept) == 0)
            owners[bucket[table.owned(words[:, bucket])]] += 1
        assert (owners == 1).all()


def test_bits_are_taken_and_counted_across_words():
    code = int.from_bytes(np.random.default_rng(14).bytes(24), "little")
    words = hamming.to_words(np.frombuffer(code.to_bytes(24, "little"), np.uint8)[None])
    for lo in range(192):
        for hi in range(lo + 1, 193):
            expected = code >> lo & ((1 << (hi - lo)) - 1)
            assert count_bits(words, (lo, hi)).tolist() == [expected.bit_count()]
            if hi - lo <= 64:
                assert take_bits(words, (lo, hi)).tolist() == [expected]


def test_distinct_codes_are_numbered_by_their_first_occurrence():
    for nbytes in (8, 9, 24, 32):
        codes = np.random.default_rng(9).integers(0, 2, (500, nbytes), dtype=np.uint8)
        codes[:, 3:] = 0
        first, inverse = distinct(codes)
        seen = {}
        expected = [seen.setdefault(code.tobytes(), k) for k, code in enumerate(codes)]
        assert first.tolist() == sorted(set(expected))
        assert first[inverse].tolist() == expected


def test_twenty_thousand_equal_codes_are_one_distinct_code_with_no_pair():
    codes = np.full((20_000, 8), 170, np.uint8)
    first, inverse = distinct(codes)
    assert first.tolist() == [0]
    assert not inverse.any()
    assert as_list(self_join(codes[first], 6)) == []


def test_copies_are_all_paired_with_each_other_and_with_the_neighbours_of_their_code():
    a = np.zeros(8, np.uint8)
    b = flipped(a, [5])
    codes = np.stack([b, a, b, a, flipped(a, range(40))])
    assert as_list(self_join(codes, 1)) == [(0, 1, 1), (0, 2, 0), (0, 3, 1), (1, 2, 1), (1, 3, 0), (2, 3, 1)]
    assert as_list(self_join(codes, 0)) == [(0, 2, 0), (1, 3, 0)]
    assert as_list(cross_join(codes[:2], codes[2:], 0)) == [(0, 0, 0), (1, 1, 0)]


def test_no_code_and_one_code_have_no_pairs():
    none, one = np.empty((0, 8), np.uint8), np.zeros((1, 8), np.uint8)
    assert [part.tolist() for part in distinct(none)] == [[], []]
    for joined in (self_join(none, 6), self_join(one, 64), cross_join(none, one, 6), cross_join(one, none, 6)):
        assert as_list(joined) == []
    assert as_list(cross_join(one, one, 6)) == [(0, 0, 0)]


@pytest.mark.parametrize(
    "codes", [np.zeros((3, 0), np.uint8), np.zeros(8, np.uint8), np.zeros((3, 8), np.int64)], ids=["0", "1-D", "int"]
)
def test_what_is_no_array_of_codes_is_refused(codes):
    with pytest.raises(UsageError, match=r"codes must be \(n, nbytes\) uint8"):
        self_join(codes, 3)


def test_a_radius_or_a_plan_that_cannot_be_is_refused():
    codes = np.zeros((3, 8), np.uint8)
    with pytest.raises(UsageError, match=r"radius must be 0\.\.64 .* not 65"):
        self_join(codes, 65)
    with pytest.raises(UsageError, match="loses pairs of 64-bit codes within 4 bits"):
        self_join(codes, 4, plan=Plan((Block(0, 64, 3, 8),)))
    with pytest.raises(UsageError, match="codes must be"):
        cross_join(codes, np.zeros((3, 9), np.uint8), 4)
    with pytest.raises(UsageError, match="jobs must be 1 or more, not 0"):
        self_join(codes, 4, jobs=0)
    with pytest.raises(ValueError, match="errors < parts"):
        Block(0, 8, 4, 4)


def test_bits_that_most_codes_share_are_spread_over_the_keys_and_no_pair_is_lost():
    rng = np.random.default_rng(13)
    for nbytes in (8, 9):
        codes = np.packbits(rng.random((4000, 8 * nbytes)) < 0.12, axis=1)
        codes[:, 0] = 255
        order = measure([hamming.to_words(codes)], 8 * nbytes, radius=4).order
        assert sorted(order.tolist()) == list(range(8 * nbytes))
        # The eight bits that tell nothing apart are no neighbours any more.
        assert np.diff(np.flatnonzero(order < 8)).min() > 1
        plan = Plan((Block(0, 8 * nbytes, 4, 8),))
        joined = self_join(codes, 4, plan=plan)
        assert len(joined[0]) > 100
        assert as_list(joined) == as_list(self_join(codes, 4, plan=Plan()))


def test_the_result_is_the_same_for_any_number_of_threads():
    codes = clustered(np.random.default_rng(10), 4000, 8, centres=500, spread=7)
    for plan in (Plan(), Plan((Block(0, 34, 3, 6), Block(34, 64, 2, 4)))):
        one, two, four = (self_join(codes, 6, jobs=jobs, plan=plan) for jobs in (1, 2, 4))
        assert len(one[0]) > 1000
        for k in range(3):
            assert one[k].tobytes() == two[k].tobytes() == four[k].tobytes()


def test_a_hot_bucket_takes_neither_quadratic_memory_nor_loses_pairs():
    rng = np.random.default_rng(11)
    codes = rng.integers(0, 256, (20_000, 8), dtype=np.uint8)
    # Each half has its first 24 bits alike, and no bit is the same in most codes: no other order of bits would help.
    codes[:10_000, :3], codes[10_000:, :3] = 0x5A, 0xA5
    assert measure([hamming.to_words(codes)], 64, radius=6).order is None
    plan = Plan((Block(0, 64, 6, 8),))
    tracemalloc.start()
    found = self_join(codes, 6, plan=plan, jobs=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 10,000 codes in one bucket are 5e7 candidates: 400 MB if they were all held as one word each.
    assert peak < 16e6
    assert as_list(found) == as_list(self_join(codes, 6, plan=Plan()))
    assert len(found[0]) > 100


def test_two_sets_of_unlike_size_agree_on_keys_longer_than_a_word():
    a = np.random.default_rng(12).integers(0, 256, (300, 32), dtype=np.uint8)
    b = np.stack([flipped(a[7], [255]), flipped(a[250], [0])])
    plan = Plan((Block(0, 100, 0, 1), Block(100, 256, 0, 1)))
    assert as_list(cross_join(a, b, 1, plan=plan)) == [(7, 0, 1), (250, 1, 1)]
    assert as_list(cross_join(b, a, 1, plan=plan)) == [(0, 7, 1), (1, 250, 1)]
