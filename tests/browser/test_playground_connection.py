"""The playground when its connection is lost, the page is reloaded, or the gateway is down."""

import unittest

from page_case import PlaygroundTest, close_browser

REFUSED = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET")


def tearDownModule():
    close_browser()


class WithoutWorker(PlaygroundTest):
    """Without a worker, tasks wait until the test calls let_run()."""

    @classmethod
    def start(cls):
        cls.gateway = cls.world.gateway(GATEWAY_HINTS="100ms")

    def let_run(self, task_id):
        """Runs a worker until the task is done."""
        worker = self.world.worker()
        self.world.wait_state(task_id, "done")
        worker.stop()
        worker.forget()

    def test_a_waiting_task_shows_its_reason(self):
        page = self.open()
        self.addCleanup(self.world.redis, "DEL", "arkrelay:{account}:governor")
        self.world.redis("HSET", "arkrelay:{account}:governor", "state", "open", "code", "ark_unreachable", "since", 1, "probe_at", 10**13)
        self.generate(page)
        page.wait_text("#status-text", "Waiting: ARK cannot be reached. The task continues automatically.")
        self.assert_sound(page)
        page.look(width=390, height=844, dark=True)
        self.assert_sound(page)
        self.world.redis("DEL", "arkrelay:{account}:governor")
        page.wait_text("#status-text", "Waiting for a worker: position")
        page.click("#cancel")
        self.wait_state(page, "cancelled")

    def test_a_waiting_task_shows_its_position_and_can_be_cancelled(self):
        first, page = self.open(), self.open()
        first.use()
        self.generate(first)
        page.use()
        self.generate(page)
        page.wait_text("#status-text", "Waiting for a worker: position 2")
        first.use()
        first.click("#cancel")
        self.wait_state(first, "cancelled")
        self.assertIn("No", first.texts("#facts dd"))
        self.assert_sound(first)
        page.use()
        page.wait_text("#status-text", "Waiting for a worker: position 1")
        page.click("#cancel")
        self.wait_state(page, "cancelled")
        self.assertEqual(self.steps(page), ["sent", "start_at", "cancelled"])

    def test_a_lost_connection_resumes_without_missing_an_event(self):
        page = self.open(width=390, height=844)
        task_id = self.generate(page)
        self.wait_state(page, "waiting")
        page.click("#cut")
        self.wait_step(page, "cut_by_hand")
        self.assert_sound(page)
        page.wait_text("#connection", "Connection lost; the task continues. Reconnecting in")
        self.let_run(task_id)
        page.run("dispatchEvent(new Event('online'))")
        self.wait_state(page, "done")
        self.assertEqual(self.steps(page), ["sent", "start_at", "cut_by_hand", "resumed_whole", "calling", "image", "image", "image", "done"])
        self.assertIn("Resumed after event 1, no event missed", page.text("#timeline"))
        self.assertIn("replayed", page.text("#timeline [data-kind=calling]"))
        self.assertFalse(page.is_shown("#connection"))

    def test_a_lost_connection_reconnects_automatically(self):
        page = self.open()
        self.generate(page)
        self.wait_state(page, "waiting")
        page.click("#cut")
        self.wait_step(page, "resumed")
        page.click("#cancel")
        self.wait_state(page, "cancelled")
        self.assertIn("resumed_whole", self.steps(page))

    def test_a_reloaded_page_resumes(self):
        page = self.open()
        task_id = self.generate(page)
        self.wait_state(page, "waiting")
        page.reload()
        self.wait_step(page, "resumed")
        self.assertEqual(page.text("#task-id"), task_id)
        self.assertEqual(page.run("return document.querySelector('#prompt').value"), "A picture")
        self.let_run(task_id)
        self.wait_state(page, "done")
        self.assertEqual(self.steps(page)[:4], ["sent", "start_at", "reload", "resumed_whole"])
        page.reload()
        self.wait_state(page, "done")
        self.assertEqual(self.steps(page)[:4], ["sent", "start_at", "reload", "resumed_whole"])
        self.assertEqual(page.run("return document.querySelectorAll('#pictures img').length"), 3)

    def test_a_task_that_was_erased_while_disconnected_is_shown_as_gone(self):
        self.forgiven = ("404",)
        page = self.open()
        task_id = self.generate(page)
        self.wait_state(page, "waiting")
        page.click("#cut")
        self.wait_step(page, "cut_by_hand")
        self.gateway.cancel(task_id)
        self.gateway.erase(task_id)
        page.run("dispatchEvent(new Event('online'))")
        self.wait_state(page, "failed")
        self.assertIn("it was deleted", page.text("#task"))
        self.assertFalse(page.run("return document.querySelector('#generate').disabled"))

    def test_a_task_that_was_erased_and_submitted_again_is_read_from_its_start(self):
        page = self.open()
        task_id = self.generate(page)
        self.wait_state(page, "waiting")
        page.click("#cut")
        self.wait_step(page, "cut_by_hand")
        self.gateway.cancel(task_id)
        self.gateway.erase(task_id)
        self.assertEqual(self.gateway.submit(task_id).status, 202)
        page.run("dispatchEvent(new Event('online'))")
        self.wait_step(page, "start_at")
        self.wait_step(page, "reset")
        self.wait_state(page, "waiting")
        page.click("#cancel")
        self.wait_state(page, "cancelled")
        self.assertEqual(self.steps(page)[-3:], ["reset", "start_at", "cancelled"])


class GatewayGone(PlaygroundTest):
    @classmethod
    def start(cls):
        cls.world.worker()

    def test_a_restarted_gateway(self):
        self.forgiven = REFUSED
        gateway = self.world.gateway()
        page = self.open(gateway=gateway)
        self.generate(page, "hang_after_image=1")
        page.wait("document.querySelector('#pictures img')?.complete")
        gateway.kill()
        self.wait_step(page, "cut")
        page.wait_text("#connection", "Connection lost; the task continues.")
        self.assert_sound(page)
        self.world.gateway(GATEWAY_LISTEN=gateway.address)
        page.run("dispatchEvent(new Event('online'))")
        self.wait_step(page, "resumed")
        page.click("#cancel")
        self.wait_state(page, "done")
        self.assertIn("resumed_whole", self.steps(page))

    def test_a_request_is_repeated_until_the_gateway_answers_and_stays_one_task(self):
        self.forgiven = REFUSED
        gateway = self.world.gateway()
        page = self.open(gateway=gateway)
        gateway.kill()
        task_id = self.generate(page, "images=1")
        page.wait_text("#connection", "The gateway has not answered yet.")
        self.assertEqual(self.steps(page), ["sent"])
        self.world.gateway(GATEWAY_LISTEN=gateway.address)
        page.run("dispatchEvent(new Event('online'))")
        self.wait_state(page, "done")
        self.assertEqual(page.text("#task-id"), task_id)
        self.assertEqual(page.text("#status-text"), "Done: 1 image")


if __name__ == "__main__":
    unittest.main()
