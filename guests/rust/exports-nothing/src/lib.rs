//! Exports one function that no host calls by itself.
wit_bindgen::generate!({
    inline: "
        package guests:exports-nothing;
        world exports-nothing {
            export of-no-use: func();
        }
    ",
});

struct OfNoUse;

impl Guest for OfNoUse {
    fn of_no_use() {}
}

export!(OfNoUse);
