//! The page. Whatever is put into the template is escaped by it.
use crate::form::{self, Draft, Mistake};
use crate::posts::{Page, Post};
use crate::settings::Settings;
use maud::{DOCTYPE, Markup, html};

pub const STYLE: &str = include_str!("style.css");
pub const ICON: &str = include_str!("icon.svg");

/// The whole page, with a form that begins as `draft` and says what is wrong with it.
pub fn render(
    settings: &Settings,
    page: &Page,
    visits: u64,
    draft: &Draft,
    mistake: Option<Mistake>,
) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (settings.title) }
                link rel="icon" type="image/svg+xml" href="/icon.svg";
                link rel="stylesheet" href="/style.css";
            }
            body {
                header {
                    h1 { (settings.title) }
                    p { "Leave a line before you go." }
                }
                main {
                    (write(draft, mistake))
                    (read(page))
                }
                footer {
                    p { "You are visitor " strong id="visits" { (grouped(visits)) } "." }
                }
            }
        }
    };
    markup.into_string()
}

fn write(draft: &Draft, mistake: Option<Mistake>) -> Markup {
    let wrong = |field| mistake.is_some_and(|mistake| mistake.field == field);
    let described = |field| wrong(field).then_some("mistake");
    html! {
        section aria-labelledby="write" {
            h2 id="write" { "Write" }
            form method="post" action="/posts" {
                @if let Some(mistake) = mistake {
                    p #mistake .mistake role="alert" { (mistake.sentence) }
                }
                label for="name" { "Name" }
                input #name name="name" required maxlength=(form::NAME) autocomplete="name"
                    value=(draft.name) aria-invalid=[wrong("name").then_some("true")]
                    aria-describedby=[described("name")];
                label for="message" { "Message" }
                textarea #message name="message" required maxlength=(form::MESSAGE) rows="4"
                    aria-invalid=[wrong("message").then_some("true")]
                    aria-describedby=[described("message")] {
                    // HTML drops a line break right behind the tag; a draft never begins with one.
                    (draft.message)
                }
                button { "Sign the book" }
            }
        }
    }
}

fn read(page: &Page) -> Markup {
    html! {
        section aria-labelledby="read" {
            h2 id="read" { "Read" }
            @if page.posts.is_empty() {
                p .empty {
                    @if page.newer { "There is nothing older." }
                    @else { "Nobody has written here yet. Be the first!" }
                }
            } @else {
                ol .posts reversed {
                    @for (id, post) in &page.posts { (one(*id, post)) }
                }
            }
            @if page.newer || page.older.is_some() {
                nav aria-label="Pages" {
                    @if page.newer { a href="/" { "Newest" } }
                    @if let Some(before) = page.older {
                        a href={ "/?before=" (before) } rel="next" { "Older" }
                    }
                }
            }
        }
    }
}

fn one(id: u64, post: &Post) -> Markup {
    let (machine, human) = time(post.written);
    html! {
        li id={ "post-" (id) } {
            article {
                header {
                    strong { (post.name) }
                    time datetime=(machine) { (human) }
                }
                p .message { (post.message) }
            }
        }
    }
}

/// A time for machines and one for people.
fn time(seconds: u64) -> (String, String) {
    let time = i64::try_from(seconds).ok().and_then(|it| jiff::Timestamp::from_second(it).ok());
    let Some(time) = time else { return <(String, String)>::default() };
    (time.to_string(), time.strftime("%-d %B %Y, %H:%M UTC").to_string())
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
