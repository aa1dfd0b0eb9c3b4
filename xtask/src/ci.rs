//! What must pass before anything is shared.
pub(crate) fn test() -> anyhow::Result<()> {
    Ok(())
}
pub(crate) fn everything() -> anyhow::Result<()> {
    Ok(())
}
