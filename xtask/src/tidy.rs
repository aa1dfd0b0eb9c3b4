//! What the compiler does not check.
pub(crate) fn check() -> anyhow::Result<()> {
    Ok(())
}
