;; Gets a value from its cache as often as it is told: what one hit costs, the result and the value
;; taken and dropped.
(component
  (import "wasi:keyvalue/wasi-keyvalue-error@0.2.0-draft" (instance $errors
    (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:keyvalue/types@0.2.0-draft" (instance $types
    (alias outer 1 $error (type $failure))
    (export "incoming-value" (type $incoming (sub resource)))
    (export "[static]incoming-value.incoming-value-consume-sync"
      (func (param "this" (own $incoming)) (result (result (list u8) (error (own $failure))))))))
  (alias export $types "incoming-value" (type $incoming))
  (import "wasi:keyvalue/cache@0.2.0-draft" (instance $cache
    (alias outer 1 $error (type $failure))
    (alias outer 1 $incoming (type $value))
    (export "future-get-result" (type $future (sub resource)))
    (export "get" (func (param "k" string) (result (own $future))))
    (export "[method]future-get-result.future-get-result-get"
      (func (param "self" (borrow $future))
        (result (option (result (option (own $value)) (error (own $failure)))))))))
  (alias export $cache "future-get-result" (type $future))
  (alias export $cache "get" (func $get))
  (alias export $cache "[method]future-get-result.future-get-result-get" (func $take))
  (alias export $types "[static]incoming-value.incoming-value-consume-sync" (func $consume))

  ;; Each value is written where the last one was: nothing is ever freed, nothing grows.
  (core module $memory
    (memory (export "memory") 2)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $m (instantiate $memory))
  (core func $get' (canon lower (func $get) (memory $m "memory")))
  (core func $take' (canon lower (func $take) (memory $m "memory")))
  (core func $consume'
    (canon lower (func $consume) (memory $m "memory") (realloc (func $m "realloc"))))
  (core func $drop' (canon resource.drop $future))

  (core module $code
    (import "memory" "memory" (memory 1))
    (import "cache" "get" (func $get (param i32 i32) (result i32)))
    (import "cache" "take" (func $take (param i32 i32)))
    (import "cache" "consume" (func $consume (param i32 i32)))
    (import "cache" "drop" (func $drop (param i32)))
    (data (i32.const 16) "key")
    (func (export "get") (param $times i32) (result i32)
      (local $bytes i32) (local $future i32)
      (block $done
        (loop $again
          (br_if $done (i32.eqz (local.get $times)))
          (local.set $future (call $get (i32.const 16) (i32.const 3)))
          (call $take (local.get $future) (i32.const 64))
          ;; some, ok, some, and the value
          (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
          (if (i32.load8_u (i32.const 68)) (then unreachable))
          (if (i32.eqz (i32.load8_u (i32.const 72))) (then unreachable))
          (call $drop (local.get $future))
          (call $consume (i32.load (i32.const 76)) (i32.const 96))
          (if (i32.load8_u (i32.const 96)) (then unreachable))
          (local.set $bytes (i32.add (local.get $bytes) (i32.load (i32.const 104))))
          (local.set $times (i32.sub (local.get $times) (i32.const 1)))
          (br $again)))
      (local.get $bytes)))
  (core instance $c (instantiate $code
    (with "memory" (instance $m))
    (with "cache" (instance
      (export "get" (func $get'))
      (export "take" (func $take'))
      (export "consume" (func $consume'))
      (export "drop" (func $drop'))))))

  ;; The bytes of all values.
  (func (export "get") (param "times" u32) (result u32) (canon lift (core func $c "get"))))
