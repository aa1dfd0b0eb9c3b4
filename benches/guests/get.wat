;; Calls `bucket.get` as often as it is told: what one host call costs.
(component
  (import "wasi:keyvalue/store@0.2.0-draft2" (instance $store
    (type $failure (variant (case "no-such-store") (case "access-denied") (case "other" string)))
    (export "error" (type $error (eq $failure)))
    (export "bucket" (type $bucket (sub resource)))
    (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
    (export "[method]bucket.get" (func (param "self" (borrow $bucket)) (param "key" string)
      (result (result (option (list u8)) (error $error)))))))
  (alias export $store "bucket" (type $bucket))
  (alias export $store "open" (func $open))
  (alias export $store "[method]bucket.get" (func $get))

  ;; Each value is written where the last one was: nothing is ever freed, nothing grows.
  (core module $memory
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $m (instantiate $memory))
  (core func $open' (canon lower (func $open) (memory $m "memory") (realloc (func $m "realloc"))))
  (core func $get' (canon lower (func $get) (memory $m "memory") (realloc (func $m "realloc"))))

  (core module $code
    (import "memory" "memory" (memory 1))
    (import "store" "open" (func $open (param i32 i32 i32)))
    (import "store" "get" (func $get (param i32 i32 i32 i32)))
    (data (i32.const 16) "key")
    (global $bucket (mut i32) (i32.const 0))
    (func (export "open") (result i32)
      (call $open (i32.const 0) (i32.const 0) (i32.const 64))
      (global.set $bucket (i32.load (i32.const 68)))
      (i32.load8_u (i32.const 64)))
    (func (export "get") (param $times i32) (result i32)
      (local $bytes i32)
      (block $done
        (loop $again
          (br_if $done (i32.eqz (local.get $times)))
          (call $get (global.get $bucket) (i32.const 16) (i32.const 3) (i32.const 64))
          ;; ok, some, and the length of the list
          (if (i32.load8_u (i32.const 64)) (then unreachable))
          (if (i32.eqz (i32.load8_u (i32.const 68))) (then unreachable))
          (local.set $bytes (i32.add (local.get $bytes) (i32.load (i32.const 76))))
          (local.set $times (i32.sub (local.get $times) (i32.const 1)))
          (br $again)))
      (local.get $bytes)))
  (core instance $c (instantiate $code
    (with "memory" (instance $m))
    (with "store" (instance (export "open" (func $open')) (export "get" (func $get'))))))

  ;; 0 when there is such a bucket.
  (func (export "open") (result u32) (canon lift (core func $c "open")))
  ;; The bytes of all values.
  (func (export "get") (param "times" u32) (result u32) (canon lift (core func $c "get"))))
