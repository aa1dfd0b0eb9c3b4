//! The accounts of servers that refuse to run as root.

use crate::program;
use nix::unistd::{User, chown, geteuid};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// An account that a package of Debian makes for its server. Without root everything is done as
/// whoever this is.
#[derive(Clone, Copy)]
pub(super) struct Account(pub(super) &'static str);

impl Account {
    /// The account, where we may become it.
    fn user(self) -> Option<User> {
        geteuid().is_root().then(|| User::from_name(self.0).ok().flatten()).flatten()
    }

    /// What `setpriv` needs to be told.
    pub(super) fn privileges(self) -> Vec<String> {
        let Some(user) = self.user() else { return Vec::new() };
        let (user, group) = (user.uid, user.gid);
        vec![format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]
    }

    /// Makes a folder the account's, and lets it in.
    ///
    /// # Panics
    /// If the folder is not ours.
    pub(super) fn give(self, folder: &Path) {
        if let Some(user) = self.user() {
            chown(folder, Some(user.uid), Some(user.gid)).expect("the folder is ours");
            let all = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(folder, all).expect("the folder is ours");
        }
    }

    /// Runs a command as the account.
    ///
    /// # Panics
    /// If it fails, with what it said, or goes on for too long.
    pub(super) fn run(self, command: &Command) {
        let mut all = Command::new("setpriv");
        all.args(self.privileges()).arg(command.get_program()).args(command.get_args());
        let ended = program::run(all.current_dir("/"), "");
        assert_eq!(ended.code, Some(0), "{all:?}: {}", ended.errors);
    }
}
