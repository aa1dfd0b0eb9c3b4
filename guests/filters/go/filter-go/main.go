// A filter in Go, without an SDK: each response gets `x-filter` with the plugin's configuration, or
// `go`. It brings the whole runtime of Go along, and what that wants of WASI.
package main

import "unsafe"

const (
	ok                  = 0
	pluginConfiguration = 7
	responseHeaders     = 2
)

//go:wasmimport env proxy_get_buffer_bytes
func getBufferBytes(buffer, start, most uint32, bytes, length unsafe.Pointer) uint32

//go:wasmimport env proxy_add_header_map_value
func addHeaderMapValue(headers uint32, key unsafe.Pointer, keyLength uint32,
	value unsafe.Pointer, valueLength uint32) uint32

var value = []byte("go")

// What the host has been given and nobody has taken yet: it must not be collected.
var given = map[uint32][]byte{}

//go:wasmexport malloc
func malloc(size uint32) uint32 {
	bytes := make([]byte, max(size, 1))
	address := uint32(uintptr(unsafe.Pointer(&bytes[0])))
	given[address] = bytes
	return address
}

// taken is what the host has written into a block of its own.
func taken(address, length uint32) []byte {
	bytes := given[address][:length]
	delete(given, address)
	return bytes
}

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

//go:wasmexport proxy_on_context_create
func onContextCreate(id, root uint32) {}

//go:wasmexport proxy_on_vm_start
func onVMStart(root, size uint32) uint32 { return 1 }

//go:wasmexport proxy_on_configure
func onConfigure(root, size uint32) uint32 {
	if size == 0 {
		return 1
	}
	var address, length uint32
	status := getBufferBytes(pluginConfiguration, 0, size,
		unsafe.Pointer(&address), unsafe.Pointer(&length))
	if status != ok {
		return 0
	}
	value = taken(address, length)
	return 1
}

//go:wasmexport proxy_on_response_headers
func onResponseHeaders(id, number, end uint32) uint32 {
	key := []byte("x-filter")
	addHeaderMapValue(responseHeaders, unsafe.Pointer(&key[0]), uint32(len(key)),
		unsafe.Pointer(&value[0]), uint32(len(value)))
	return 0
}

//go:wasmexport proxy_on_done
func onDone(id uint32) uint32 { return 1 }

//go:wasmexport proxy_on_log
func onLog(id uint32) {}

//go:wasmexport proxy_on_delete
func onDelete(id uint32) {}

func main() {}
