// A filter in AssemblyScript: each response gets `x-filter` with the plugin's configuration, or
// `as` if there is none.
//
// It has two roots, told apart by the plugin's root id: that of `count_headers` adds `x-headers`
// with the number of the response's headers; that of `add_header` does not.
export * from "@solo-io/proxy-runtime/proxy";
import {
  Context,
  FilterHeadersStatusValues,
  RootContext,
  registerRootContext,
  stream_context,
} from "@solo-io/proxy-runtime";

class Root extends RootContext {
  counts: bool;

  constructor(id: u32, counts: bool) {
    super(id);
    this.counts = counts;
  }

  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

class Stream extends Context {
  counts: bool;

  constructor(id: u32, root: Root) {
    super(id, root);
    this.counts = root.counts;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const value = this.root_context.getConfiguration();
    stream_context.headers.response.add("x-filter", value == "" ? "as" : value);
    if (this.counts) stream_context.headers.response.add("x-headers", count.toString());
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((id: u32) => new Root(id, false), "add_header");
registerRootContext((id: u32) => new Root(id, true), "count_headers");
