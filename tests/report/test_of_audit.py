"""What the page of an audit says of its chapters: whose lists are compared, and which are shown."""

from dataclasses import replace
from pathlib import Path

import polars as pl
from strangers import Popular

from finestrec.data.log import InteractionLog
from finestrec.data.splits import split
from finestrec.report.of_audit import audit_summary
from finestrec.stability.audit import audit
from finestrec.stability.rows import AuditRow


def test_a_night_is_explained_the_other_way_round(chain: InteractionLog, tmp_path: Path) -> None:
    def load(row: AuditRow) -> pl.DataFrame:
        return pl.read_parquet(tmp_path / f"{row.comparison}.parquet")

    parts = split(replace(chain, times=chain.times * 86_400))
    specs = ["delete:random:0.3", "append:cut:6"]
    found = audit(parts, {"retrain": Popular()}, perturbations=specs, seeds=[0, 1], folder=tmp_path)
    deletion, night = audit_summary(found, load, []).chapters
    assert "trained on the perturbed log is compared with the incumbent, trained on the log as it is" in (
        deletion.explanation
    )
    assert "trained on the log with the night is compared with the incumbent, trained on the log before it" in (
        night.explanation
    )
    assert night.item_note == "Lists of ten at every test interaction, over 2 seeds, by retrain."
    # The examples are those whose shown lists changed most: lists of the first seed.
    [row] = [r for r in found.rows if (r.perturbation, r.seed, r.other_seed) == ("delete:random:0.3", 0, None)]
    changed = load(row).group_by("user_id").agg(pl.col("FRBO(p=0.9)@10").mean()).sort("FRBO(p=0.9)@10", "user_id")
    most = [str(user) for user in changed["user_id"].head(20)]
    assert [user.user for user in deletion.users[:20]] == most
