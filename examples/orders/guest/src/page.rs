//! The page: a form, and how each order stands.
use crate::orders::{Order, Standing};
use maud::{DOCTYPE, html};

pub fn render(orders: &[Order]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta http-equiv="refresh" content="2";
                title { "Orders" }
                style { "body { font: 1rem/1.5 system-ui; max-width: 40rem; margin: 2rem auto }" }
            }
            body {
                h1 { "Orders" }
                form method="post" action="/orders" {
                    input name="thing" maxlength="80" required placeholder="a chair";
                    button { "Order" }
                }
                p { "Order the moon to see what becomes of orders that nobody can make." }
                ol reversed {
                    @for order in orders {
                        li value=(order.number) { (order.thing) ": " (standing(&order.standing)) }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn standing(standing: &Standing) -> String {
    match standing {
        Standing::Waiting => "waiting".to_owned(),
        Standing::Failed => "failed, and tried again".to_owned(),
        Standing::Made => "made".to_owned(),
        Standing::GivenUp(why) => format!("given up: {why}"),
    }
}
