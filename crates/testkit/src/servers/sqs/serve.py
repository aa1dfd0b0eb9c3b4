"""Moto as a server of SQS that many may use at once, and that keeps its queues over a crash.

By itself moto is for one caller at a time, loses messages where one is sent while another is
removed, and keeps nothing. So its calls are made one after the other here, and what changes a queue
is written to a journal before it is answered.

    serve.py PORT JOURNAL [--guarded] [what else moto is told]
"""

import base64
import os
import pickle
import sys
import threading
import time

port, place, *more = sys.argv[1:]
if "--guarded" in more:
    more.remove("--guarded")
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "0"

from moto.server import main
from moto.sqs import models
from moto.sqs.models import Queue, SQSBackend

lock = threading.RLock()
changes = threading.Condition(lock)
journal = None


def note(*change):
    if journal is not None:
        journal.write(base64.b64encode(pickle.dumps(change)) + b"\n")
        journal.flush()


def alone(call):
    """Has a method called by one thread at a time."""

    def called(self, *args, **kwargs):
        with lock:
            return call(self, *args, **kwargs)

    return called


def journalled(name):
    """Writes down the calls of a method that went well."""
    call = getattr(SQSBackend, name)

    def called(self, *args, **kwargs):
        with lock:
            answer = call(self, *args, **kwargs)
            note(self.account_id, self.region_name, name, args, kwargs)
            return answer

    setattr(SQSBackend, name, called)


for name in ["create_queue", "delete_queue", "tag_queue", "untag_queue", "set_queue_attributes"]:
    journalled(name)
for name in [
    "change_message_visibility",
    "delete_message",
    "list_queue_tags",
    "list_queues",
    "send_message",
    "send_message_batch",
]:
    setattr(SQSBackend, name, alone(getattr(SQSBackend, name)))

add, remove, receive = Queue.add_message, Queue.delete_message, SQSBackend.receive_message


def add_message(self, message):
    note(self.account_id, self.region, "add", self.name, message)
    add(self, message)
    changes.notify_all()


def remove_message(self, handle):
    found = [message.id for message in self._messages if message.had_receipt_handle(handle)]
    remove(self, handle)
    note(self.account_id, self.region, "remove", self.name, found)


def receive_message(self, queue, count, wait, *args, **kwargs):
    end = time.monotonic() + wait
    while True:
        with lock:
            found = receive(self, queue, count, 0, *args, **kwargs)
            rest = end - time.monotonic()
            if found or rest <= 0:
                return found
            # What becomes visible tells nobody.
            changes.wait(min(rest, 0.1))


Queue.add_message, Queue.delete_message = add_message, remove_message
# It counts all messages of a queue each time that one is sent, and asks for none of the numbers.
for name in ["", "_delayed", "_not_visible"]:
    setattr(Queue, "approximate_number_of_messages" + name, 0)
SQSBackend.receive_message = receive_message


def restore(account, region, what, *rest):
    backend = models.sqs_backends[account][region]
    if what == "add":
        name, message = rest
        backend.queues[name]._messages.append(message)
    elif what == "remove":
        name, found = rest
        queue = backend.queues[name]
        queue._messages = [message for message in queue._messages if message.id not in found]
    else:
        args, kwargs = rest
        getattr(backend, what)(*args, **kwargs)


if os.path.exists(place):
    with open(place, "rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                restore(*pickle.loads(base64.b64decode(line)))
journal = open(place, "ab")
main(["-H", "127.0.0.1", "-p", port, *more])
