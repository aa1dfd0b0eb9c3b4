// A web program in JavaScript: says hello, or sends back what it was sent.
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  if (request.method === "POST") {
    return new Response(await request.text());
  }
  const { pathname, search } = new URL(request.url);
  const text = `Hello from JavaScript, you asked for ${pathname}${search}`;
  return new Response(text, { headers: { "content-type": "text/plain" } });
}
