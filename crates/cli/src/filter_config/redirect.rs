//! Routes that redirect: to one address, which `respond` of a route can say.

use super::listener::is_name;
use super::node::Object;

/// What a redirect answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Redirect {
    pub(crate) status: i64,
    pub(crate) location: String,
}

/// Reads a `RedirectAction` of a route that is for `path`, `exact`ly for it or also for what is
/// below it.
///
/// # Errors
/// Why it leads to no address that could be written down.
pub(crate) fn read(action: &Object<'_>, path: &str, exact: bool) -> Result<Redirect, String> {
    let status = match action.text("response_code").unwrap_or("MOVED_PERMANENTLY") {
        "MOVED_PERMANENTLY" => 301,
        "FOUND" => 302,
        "SEE_OTHER" => 303,
        "TEMPORARY_REDIRECT" => 307,
        "PERMANENT_REDIRECT" => 308,
        other => return Err(format!("`{other}` is no redirect")),
    };
    let place = place(action)?;
    let (to, rewrite) = (action.text("path_redirect"), action.text("prefix_rewrite"));
    let to = to.or(rewrite.filter(|_| exact)).or((exact && rewrite.is_none()).then_some(path));
    let to = to.filter(|to| !to.is_empty() && !action.has("regex_rewrite"));
    let Some(to) = to else {
        return Err("`respond` of a route leads to one address, and not to the path that was \
                    asked for; a component may do it as here"
            .to_owned());
    };
    // A path that began with two slashes would be a host.
    let is_path = to.starts_with('/') && !to.starts_with("//");
    if !is_path || !to.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("`{}` is no path to lead to", super::node::clean(to)));
    }
    if action.truth("strip_query") != Some(true) && !to.contains('?') {
        action.node().changed("what is asked for behind `?` does not go along");
    }
    Ok(Redirect { status, location: place + to })
}

/// What stands before the path: nothing where the scheme, the host and the port stay.
fn place(action: &Object<'_>) -> Result<String, String> {
    let scheme = match (action.truth("https_redirect"), action.text("scheme_redirect")) {
        (Some(true), _) => Some("https"),
        (_, Some(scheme)) if !scheme.is_empty() => Some(scheme),
        _ => None,
    };
    let host = action.text("host_redirect").filter(|host| !host.is_empty());
    let port = action.number("port_redirect").filter(|port| *port != 0);
    let Some(host) = host else {
        return match (scheme, port) {
            (None, None) => Ok(String::new()),
            _ => {
                Err("`respond` of a route leads to one address, and this one keeps the host that \
                      was asked for; a component may do it as here"
                    .to_owned())
            }
        };
    };
    // The host may have a port of its own, which another goes before.
    let (name, own) = host.rsplit_once(':').unwrap_or((host, "0"));
    if !is_name(name)
        || own.parse::<u16>().is_err()
        || !matches!(scheme, None | Some("http" | "https"))
    {
        return Err("it leads to no host of HTTP".to_owned());
    }
    let scheme = scheme.map(|scheme| format!("{scheme}:")).unwrap_or_default();
    Ok(match port {
        Some(port) => format!("{scheme}//{name}:{port}"),
        None => format!("{scheme}//{host}"),
    })
}
