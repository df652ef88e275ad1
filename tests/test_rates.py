"""False pairs by threshold: counted where they were seen, against slow counts; an exponential tail beyond."""

import math

import numpy as np
import pytest

from imkin.rates import FARTHEST, LEAST_SEEN, false_rate


def normal(count, *, seed=0):
    return np.random.default_rng(seed).normal(0.4, 0.08, count).clip(0, 1)


def test_a_rate_is_the_share_of_pairs_at_or_above_while_ten_were_seen():
    scores = normal(5000)
    rate = false_rate(scores, scores)
    tenth = np.sort(scores)[-LEAST_SEEN]
    for threshold in (0.1, 0.4, 0.55, float(tenth)):
        assert rate.at(threshold) == sum(score >= threshold for score in scores) / 5000
        assert not rate.extrapolated(threshold)
    assert rate.extrapolated(float(np.nextafter(tenth, 1)))


def test_edits_of_one_pair_count_as_one_where_it_is_asked_what_was_seen():
    by_pair = normal(500)
    scores = np.repeat(by_pair, 28)
    rate = false_rate(scores, by_pair)
    assert rate.seen_to == np.sort(by_pair)[-LEAST_SEEN]
    assert rate.at(rate.seen_to) == LEAST_SEEN / 500


def test_the_tail_of_an_exponential_is_found_again_beyond_what_was_seen():
    scores = np.random.default_rng(1).exponential(0.02, 50_000) + 0.2
    rate = false_rate(scores, scores)
    for one_in in (1e5, 1e6, 1e7):
        truth = 0.2 + 0.02 * math.log(one_in)
        assert rate.threshold(1 / one_in) == pytest.approx(truth, abs=0.02)
        assert rate.extrapolated(rate.threshold(1 / one_in))


def test_the_tail_of_a_geometric_lattice_is_found_again():
    bits = 256
    steps = np.random.default_rng(2).geometric(0.2, 50_000) - 1
    scores = (100 + steps).clip(max=bits) / bits
    rate = false_rate(scores, scores, step=1 / bits)
    for beyond in (60, 70):
        assert math.log(rate.at((100 + beyond) / bits)) == pytest.approx(beyond * math.log(0.8), rel=0.1)


@pytest.mark.parametrize("step", [0.0, 1 / 64])
@pytest.mark.parametrize("wanted", [0.3, 0.02, 0.004, 1e-5])
def test_the_recommended_threshold_is_the_least_that_keeps_the_rate(step, wanted):
    scores = normal(4000, seed=3)
    if step:
        scores = np.rint(scores / step) * step
    rate = false_rate(scores.astype(np.float32), scores, step=step)
    threshold = rate.threshold(wanted)
    assert rate.at(threshold) <= wanted * (1 + 1e-9)
    assert rate.at(threshold - (step or 1e-4)) > wanted


def test_what_cannot_be_told_has_no_threshold():
    scores = normal(190)
    assert false_rate(scores, scores).threshold(LEAST_SEEN / 190 * FARTHEST / 2) is None
    ones = np.ones(1000)
    assert false_rate(ones, ones).threshold(1e-3) is None
