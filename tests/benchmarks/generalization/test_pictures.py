from seistomo.benchmarks.generalization.pictures import chosen, condition_row


def test_the_worst_of_each_group_is_shown(make_scores):
    results = [
        make_scores("own", "reference", (300, 310, 320), ssim=(0.9, 0.5, 0.7)),
        make_scores("snr-20", "records", (400, 400, 400)),
        make_scores("snr-0", "records", (600, 600, 600)),
        make_scores("layers", "trained", (900, 900, 900)),
        make_scores("style", "other", (700, 700, 700), ssim=(0.3, 0.2, 0.1)),
    ]
    # The third sample has the reference's median SSIM; the second is style's own.
    assert chosen(results) == [(0, 2), (2, 2), (4, 1)]


def test_rows_take_the_scores_over_all_samples(make_scores):
    row = condition_row(make_scores("style", "other", (300, 400, 500)))
    assert row.rmse.tolist() == [300, 400, 500]
    assert row.rmse_all == ((9 + 16 + 25) * 1e4 / 3) ** 0.5
    assert (row.group, row.baseline_rmse, row.baseline_ssim) == ("Other families", 500.0, 0.4)
    assert (row.oracle_rmse, row.oracle_ssim) == (100.0, 0.9)
