;; Takes messages and does nothing with them: what handing one over costs.
(component
  (import "wasi:messaging/types@0.2.0-draft" (instance $types
    (type $failure (variant (case "timeout") (case "connection" string)
      (case "permission-denied" string) (case "other" string)))
    (export "error" (type $error (eq $failure)))
    (export "message" (type $message (sub resource)))))
  (alias export $types "message" (type $message))
  (alias export $types "error" (type $error))
  (core func $drop (canon resource.drop $message))

  (core module $code
    (import "types" "drop" (func $drop (param i32)))
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    ;; ok: the first byte at the address is zero.
    (func (export "handle") (param $message i32) (result i32)
      (call $drop (local.get $message))
      (i32.const 16)))
  (core instance $c (instantiate $code
    (with "types" (instance (export "drop" (func $drop))))))

  (func $handle (param "message" (own $message)) (result (result (error $error)))
    (canon lift (core func $c "handle") (memory $c "memory") (realloc (func $c "realloc"))))
  (component $handler
    (import "import-type-message" (type $message (sub resource)))
    (type $failure (variant (case "timeout") (case "connection" string)
      (case "permission-denied" string) (case "other" string)))
    (import "import-type-error" (type $error (eq $failure)))
    (import "import-func-handle" (func $handle (param "message" (own $message))
      (result (result (error $error)))))
    (export $exported-message "message" (type $message))
    (export $exported-error "error" (type $error))
    (export "handle" (func $handle)
      (func (param "message" (own $exported-message)) (result (result (error $exported-error))))))
  (instance $handler (instantiate $handler
    (with "import-type-message" (type $message))
    (with "import-type-error" (type $error))
    (with "import-func-handle" (func $handle))))
  (export "wasi:messaging/incoming-handler@0.2.0-draft" (instance $handler)))
