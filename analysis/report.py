"""The effects in words, for a terminal."""

from analysis.effects import Effects


def effects_table(effects: Effects) -> str:
    """Return the table of terms, with the verdict in words below it."""
    table = effects.terms[["coefficient", "effect", "std_error", "t", "p"]].copy()
    active = set(effects.active)
    table[""] = ["active" if str(name) in active else "" for name in table.index]
    table.index.name = None
    text = table.to_string(float_format=lambda x: f"{x:.4f}", na_rep="-")
    words = ", ".join(effects.active) or "none"
    return (
        f"{text}\n\nR^2 = {effects.r_squared:.4f}, {effects.residual_df} residual degrees of "
        f"freedom, {len(effects.runs)} runs.\nActive: {words}.\n{effects.verdict.words}"
    )
