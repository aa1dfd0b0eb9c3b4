//! Functions of every shape, for `wharf run --invoke`.
wit_bindgen::generate!({
    inline: r#"
        package guests:exports@1.0.0;

        interface shapes {
            record point { x: s32, y: s32 }
            enum corner { nearest, farthest }
            variant shape { circle(u32), segment(tuple<point, point>), nothing }

            /// What a shape is, in words.
            describe: func(shape: shape) -> string;
            /// The first point that is nearest to, or farthest from, the origin.
            pick: func(points: list<point>, which: corner) -> option<point>;
        }

        world exports {
            export shapes;
            export add: func(a: u32, b: u32) -> u32;
            export greet: func(name: string) -> string;
            export divide: func(a: s64, b: s64) -> result<s64, string>;
            export trap: func();
        }
    "#,
});

use exports::guests::exports::shapes::{self, Corner, Point, Shape};

struct Exports;

impl Guest for Exports {
    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }
    fn greet(name: String) -> String {
        format!("Hello, {name}")
    }
    fn divide(a: i64, b: i64) -> Result<i64, String> {
        a.checked_div(b).ok_or_else(|| format!("{a} cannot be divided by {b}"))
    }
    fn trap() {
        panic!("as asked");
    }
}

impl shapes::Guest for Exports {
    fn describe(shape: Shape) -> String {
        match shape {
            Shape::Circle(radius) => format!("a circle of radius {radius}"),
            Shape::Segment((from, to)) => {
                format!("a line from {},{} to {},{}", from.x, from.y, to.x, to.y)
            }
            Shape::Nothing => "nothing".to_owned(),
        }
    }
    fn pick(points: Vec<Point>, which: Corner) -> Option<Point> {
        let distance = |point: &Point| i64::from(point.x).pow(2) + i64::from(point.y).pow(2);
        match which {
            Corner::Nearest => points.into_iter().min_by_key(distance),
            Corner::Farthest => points.into_iter().rev().max_by_key(distance),
        }
    }
}

export!(Exports);
