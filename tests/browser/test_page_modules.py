"""Unit tests of the pages' pure modules. They run in the browser."""

import unittest

from page_case import PageTest, close_browser

# Builds a story from a list of records: ["event", n, type, data, late], or [kind, fields].
TELL = """
const { newStory, applyRecord, applyHint } = await import('/pages/playground/story.js');
const { View } = await import('/pages/playground/view.js');
const story = newStory();
for (const [kind, ...rest] of arguments[0]) {
  const [n, type, data, late = false] = rest;
  if (kind === 'place') applyHint(story, rest[0]);
  else if (kind === 'event') applyRecord(story, { kind, id: `1000-${n}`, type, data, late, at: 2000 + 10 * n });
  else applyRecord(story, { kind, at: 1000, ...rest[0] });
}
const view = new View({ t: (key, values) => `${key} ${JSON.stringify(values ?? {})}`, count: (key, n) => `${key} ${n}`, has: (key) => key !== 'hold_later' });
return { state: story.state, steps: story.steps.map((step) => step.kind), ms: story.steps.map((step) => step.ms ?? null),
         pictures: story.pictures, failed: story.failed, status: view.statusText(story) };
"""


def tearDownModule():
    close_browser()


def image(n, index):
    return ["event", n, "process", {"stage": "image", "index": index, "image": {"url": f"u{index}", "size": "1x1"}}]


START = ["event", 1, "start", {"position": 3}]
CALLING = ["event", 2, "process", {"stage": "calling", "attempt": 1}]
DONE = {"generated_images": [{"url": "u0", "size": "1x1"}], "failed_images": [], "timing": {"queued_ms": 5, "ark_ms": 7, "total_ms": 12}}


class Modules(PageTest):
    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway()

    def setUp(self):
        super().setUp()
        self.page = self.open()

    def test_a_story_is_built_from_records(self):
        sent = ["sent"]
        cases = [
            ("a waiting task", [sent, START], {"state": "waiting", "status": 'state_waiting_at {"position":3}'}),
            ("a hint updates the position", [sent, START, ["place", {"position": 2}]], {"status": 'state_waiting_at {"position":2}'}),
            ("a hint with an estimated time", [sent, START, ["place", {"position": 2, "eta_ms": 4200}]],
             {"status": 'state_waiting_eta {"position":2,"eta":"5 s"}'}),
            ("a hint with a reason for waiting", [sent, START, ["place", {"position": 2, "waiting_for": [{"code": "ark_unreachable"}]}]],
             {"state": "waiting", "status": 'state_held {"why":"hold_ark_unreachable {}"}'}),
            ("an unknown reason for waiting", [sent, START, ["place", {"position": 2, "waiting_for": [{"code": "later"}]}]],
             {"status": 'state_held {"why":"hold_other {}"}'}),
            ("the reason for waiting has ended", [sent, START, ["place", {"position": 2, "waiting_for": [{"code": "ark_unreachable"}]}],
                                               ["place", {"position": 2}]], {"status": 'state_waiting_at {"position":2}'}),
            ("a deferred task waits again without an event", [sent, START, CALLING, ["place", {"waiting_for": [{"code": "ark_unreachable"}]}]],
             {"state": "retrying", "status": 'state_held {"why":"hold_ark_unreachable {}"}'}),
            ("a late hint is ignored", [sent, START, CALLING, ["place", {"position": 2}]], {"status": "state_calling {}"}),
            ("a step lasts until the next one", [sent, START, CALLING, image(3, 0)],
             {"ms": [None, 10, None, None], "status": "state_calling_some 1"}),
            ("times measured by the server take precedence", [sent, START, CALLING, image(3, 0), ["event", 4, "done", DONE]],
             {"state": "done", "ms": [None, 5, 7, None, None], "status": "state_done 1"}),
            ("the duration of a step is unknown if its end was not seen",
             [sent, START, [*CALLING, True]], {"ms": [None, None, None]}),
            ("a resumption without a gap", [sent, START, ["cut"], ["resumed", {"after": 1}], CALLING],
             {"steps": ["sent", "start_at", "cut", "resumed_whole", "calling"]}),
            ("a resumption with a gap", [sent, START, ["cut"], ["resumed", {"after": 1}], image(3, 0)],
             {"steps": ["sent", "start_at", "cut", "resumed_gap", "image"]}),
            ("a reset removes the old events and keeps the steps of the connection",
             [sent, START, CALLING, image(3, 0), ["cut"], ["resumed", {"after": 3}], ["reset"], START],
             {"steps": ["sent", "cut", "resumed", "reset", "start_at"], "pictures": [], "state": "waiting"}),
            ("a retry clears the failed slots",
             [sent, START, CALLING, ["event", 3, "process", {"stage": "image_failed", "index": 0, "code": "x"}],
              ["event", 4, "process", {"stage": "retrying", "attempt": 2, "delay_ms": 9, "code": "ark_overloaded"}]],
             {"state": "retrying", "failed": []}),
            ("a requeued task", [sent, START, CALLING, ["event", 3, "process", {"stage": "requeued"}]],
             {"state": "waiting", "status": "state_waiting {}"}),
            ("an image that only the final event contains", [sent, START, ["event", 2, "done", DONE, True]],
             {"pictures": [{"url": "u0", "size": "1x1"}]}),
            ("an image keeps its index when another one failed",
             [sent, START, CALLING, image(3, 1), ["event", 4, "done", {**DONE, "generated_images": [{"url": "u1", "size": "1x1"}],
                                                                    "failed_images": [{"index": 0, "code": "x"}]}]],
             {"status": 'state_partial {"n":1,"all":2}', "pictures": [None, {"url": "u1", "size": "1x1"}]}),
            ("unknown event types and stages are ignored", [sent, START, ["event", 2, "process", {"stage": "new"}], ["event", 3, "newer", {}]],
             {"state": "waiting"}),
        ]
        for name, records, want in cases:
            with self.subTest(name):
                story = self.page.run_async(TELL, records)
                self.assertEqual({key: story[key] for key in want}, want)

    def test_sse_parsing_does_not_depend_on_chunk_boundaries(self):
        seen = self.page.run_async("""
            const { frames } = await import('/pages/shared/sse.js');
            const bytes = new TextEncoder().encode('retry: 2500\\n\\n: alive\\n\\nid: 1-1\\r\\nevent: start\\r\\ndata: {"a":"é图:"}\\r\\n\\r\\n'
              + 'data:x\\ndata\\ndata:  y\\nother: z\\nretry: soon\\n\\ndata: half');
            const read = async (...pieces) => {
              const all = [];
              const stream = new ReadableStream({ start(c) { pieces.forEach((piece) => c.enqueue(piece)); c.close(); } });
              for await (const frame of frames(stream)) all.push(frame);
              return JSON.stringify(all);
            };
            const ways = new Set([await read(...[...bytes].map((one) => Uint8Array.of(one)))]);
            for (let at = 0; at <= bytes.length; at++) ways.add(await read(bytes.slice(0, at), bytes.slice(at)));
            return [...ways].map((way) => JSON.parse(way));""")
        self.assertEqual(seen, [[{"retry": 2500}, {}, {"id": "1-1", "event": "start", "data": '{"a":"é图:"}'}, {"data": "x\n\n y"}]])

    def test_duration_format(self):
        cases = {0: "0 ms", 999.4: "999 ms", 1000: "1.00 s", 9990: "9.99 s", 9999: "10.0 s", 59_900: "59.9 s",
                 59_999: "1 min 0 s", 90_000: "1 min 30 s", 3_599_499: "59 min 59 s", 3_599_500: "1 h 0 min", 71_640_000: "19 h 54 min",
                 90_000_000: "1 d 1 h"}
        said = self.page.run_async("""const { duration } = await import('/pages/shared/format.js');
                                      return arguments[0].map(duration)""", list(cases))
        self.assertEqual(said, list(cases.values()))
        cases = {0: "1 s", 89_000: "89 s", 89_001: "2 min", 3_569_000: "59 min", 3_570_000: "1 h 0 min", 71_640_000: "19 h 54 min", 90_000_000: "1 d 1 h"}
        said = self.page.run_async("""const { roughly } = await import('/pages/shared/format.js');
                                      return arguments[0].map(roughly)""", list(cases))
        self.assertEqual(said, list(cases.values()))


if __name__ == "__main__":
    unittest.main()
