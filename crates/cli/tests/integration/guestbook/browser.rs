//! The guestbook as a person sees it.

use super::chromium::Page;
use super::guestbook;

#[test]
fn a_visitor_signs_the_book_in_a_browser() {
    let wharf = guestbook();
    let mut page = Page::open();
    page.go_to(&format!("http://{}/", wharf.address));
    assert_eq!(page.value("document.title"), "The harbour guestbook");
    assert_eq!(page.value("document.querySelectorAll('.posts li').length"), 0);
    assert_eq!(page.value("document.querySelector('#visits').textContent"), "1");
    // The style was loaded and is allowed by the page's own policy.
    assert_eq!(page.value("document.styleSheets[0].cssRules.length > 10"), true);

    page.fill_in("#name", "Ada Lovelace");
    page.fill_in("#message", "Ahoy <b>there</b> ⚓");
    page.click("form button");
    page.loaded();
    assert_eq!(page.value("location.pathname"), "/");
    assert_eq!(page.value("document.querySelector('#post-1 strong').textContent"), "Ada Lovelace");
    let message = page.value("document.querySelector('#post-1 .message').textContent");
    assert_eq!(message, "Ahoy <b>there</b> ⚓");
    assert_eq!(page.value("document.querySelector('#visits').textContent"), "2");

    // The browser itself refuses an empty form: nothing is sent, and the page stays.
    page.click("form button");
    assert_eq!(page.value("document.querySelector('form').checkValidity()"), false);
    page.go_to(&format!("http://{}/", wharf.address));
    assert_eq!(page.value("document.querySelectorAll('.posts li').length"), 1);
}
