-- WEBHOOK_TEST (gateway, for operators): owes the delivery of a sample, which is tried once. WEBHOOK shows what became of it.
-- ARGV id url generation data
--   id: <client>.<name>, of no task; data: JSON
-- -> OK id
-- needs: base names log owing webhooks
local id, url, generation, data = unpack(ARGV)
local LAST_TRY, LIFE_MS, epoch = '7', 86400000, text_of(now())
owe_webhook(id, epoch, '1', url, generation, webhook_lane(id, url), element('1', 'test', data), epoch)
local entry = key('entry', webhook_entry(id, epoch, '1'))
redis.call('HSET', entry, 'tries', LAST_TRY)
redis.call('PEXPIRE', entry, LIFE_MS)
return { 'OK', id }
