//! Says who may pass: whoever shows the token is `ada`, anybody else is nobody.
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Keeper;

const TOKEN: &[u8] = b"Bearer open-sesame";

impl Guest for Keeper {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let shown = request.headers().get("authorization");
        let is_known = shown.iter().any(|shown| shown == TOKEN);
        let (status, name, value) = match is_known {
            true => (200, "x-user", &b"ada"[..]),
            false => (401, "www-authenticate", &b"Bearer"[..]),
        };
        let fields = Fields::new();
        fields.append(name, value).expect("it is a field");
        let response = OutgoingResponse::new(fields);
        response.set_status_code(status).expect("it is a status");
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        // Finishing fails only where the client went away.
        _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Keeper);
