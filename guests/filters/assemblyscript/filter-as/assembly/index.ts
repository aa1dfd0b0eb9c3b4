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
import { BufferTypeValues, get_buffer_bytes } from "@solo-io/proxy-runtime/runtime";

class Root extends RootContext {
  counts: bool;
  value: string = "as";

  constructor(id: u32, counts: bool) {
    super(id);
    this.counts = counts;
  }

  // Not left to the SDK: it takes the size for the address where the host writes the length.
  onConfigure(size: u32): bool {
    if (size > 0) {
      const bytes = get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size);
      this.value = String.UTF8.decode(bytes);
    }
    return true;
  }

  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

class Stream extends Context {
  root: Root;

  constructor(id: u32, root: Root) {
    super(id, root);
    this.root = root;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    stream_context.headers.response.add("x-filter", this.root.value);
    if (this.root.counts) stream_context.headers.response.add("x-headers", count.toString());
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((id: u32) => new Root(id, false), "add_header");
registerRootContext((id: u32) => new Root(id, true), "count_headers");
