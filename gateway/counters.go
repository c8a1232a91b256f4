package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// Names of the counters of an account.
const (
	usageCount = "usageCount"
	errorCount = "errorCount"
)

const (
	// maxBatch bounds the counters of one delivery, so it fits one command timeout.
	maxBatch = 256
	// gatherTime is how long a count waits for others that can go in the same round
	// trip: a delivery for each request would cost as much as the request.
	gatherTime = 20 * time.Millisecond
	// maxDeliveryPause bounds the pause between deliveries that fail.
	maxDeliveryPause = 2 * time.Second
)

// deliverScript adds a batch of counts unless that batch was added before: a
// delivery whose answer was lost can be sent again, however late the first one
// arrives. A counter that holds no number is skipped and its position returned.
//
// KEYS: delivered marker, counters… ARGV: batch number, amounts…
var deliverScript = `
local last = redis.call('GET', KEYS[1])
if last and tonumber(last) >= tonumber(ARGV[1]) then return {} end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 86400)
local refused = {}
for i = 2, #KEYS do
  local r = redis.pcall('INCRBY', KEYS[i], ARGV[i])
  if type(r) == 'table' and r.err then refused[#refused + 1] = i end
end
return refused`

type counterID struct {
	account accountID
	name    string
}

// counters collects counts and delivers them to Redis in the background. What
// waits is summed for each counter, so its size is bounded by the number of
// accounts, not by requests or by the length of an outage: nothing is ever
// dropped. Safe for concurrent use; run and flush belong to one goroutine.
type counters struct {
	client  redis.UniversalClient
	keys    keys
	timeout time.Duration
	log     *slog.Logger
	metrics *metrics
	process string // names this process's deliveries
	wake    chan struct{}

	mu      sync.Mutex
	waiting map[counterID]int64
	// inDelivery is the batch that is being sent. It keeps its number and
	// content until Redis has answered for it.
	inDelivery map[counterID]int64
	batchSeq   uint64
	failing    bool
}

func newCounters(client redis.UniversalClient, k keys, timeout time.Duration, log *slog.Logger) *counters {
	return &counters{
		client: client, keys: k, timeout: timeout, log: log,
		process: uuid.NewString(), wake: make(chan struct{}, 1),
		waiting: map[counterID]int64{},
	}
}

// add counts one; it never waits for Redis.
func (c *counters) add(id accountID, name string) {
	c.mu.Lock()
	c.waiting[counterID{id, name}]++
	first := len(c.waiting) == 1
	c.mu.Unlock()
	if !first {
		return // whoever counted before woke the delivery, which takes all
	}
	select {
	case c.wake <- struct{}{}:
	default: // a wake-up is pending already
	}
}

// pending is the number of counts not yet delivered.
func (c *counters) pending() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n int64
	for _, v := range c.waiting {
		n += v
	}
	for _, v := range c.inDelivery {
		n += v
	}
	return n
}

// run delivers until ctx ends.
func (c *counters) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		if !wait(ctx, gatherTime) {
			return // who ends the process delivers the rest
		}
		_ = c.flush(ctx)
	}
}

// flush delivers everything that waits, trying again until it is done or ctx
// ends.
func (c *counters) flush(ctx context.Context) error {
	pause := 50 * time.Millisecond
	for {
		done, err := c.deliver(ctx)
		if done {
			return nil
		}
		if err == nil {
			pause = 50 * time.Millisecond
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("deliver counts: %w", ctx.Err())
		case <-time.After(pause):
		}
		pause = min(2*pause, maxDeliveryPause)
	}
}

// deliver sends one batch; done says that there was nothing to send.
func (c *counters) deliver(ctx context.Context) (done bool, err error) {
	ids, keyNames, args := c.nextBatch()
	if len(ids) == 0 {
		return true, nil
	}
	sendCtx, cancel := context.WithTimeout(ctx, c.timeout)
	refused, err := c.client.Eval(sendCtx, deliverScript, keyNames, args...).Int64Slice()
	cancel()
	if err != nil {
		c.metrics.countFails.Inc()
		c.setFailing(true, err)
		return false, err
	}
	c.mu.Lock()
	var sum int64
	for _, v := range c.inDelivery {
		sum += v
	}
	c.inDelivery = nil
	c.mu.Unlock()
	c.metrics.countsSent.Add(float64(sum))
	c.setFailing(false, nil)
	for _, pos := range refused {
		if i := int(pos) - 2; i >= 0 && i < len(ids) {
			c.log.Error("counter holds no number; its counts are lost until it is deleted", "account", ids[i].account, "counter", ids[i].name)
		}
	}
	return false, nil
}

// nextBatch is the batch in delivery, or a new one from what waits.
func (c *counters) nextBatch() (ids []counterID, keyNames []string, args []any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inDelivery == nil && len(c.waiting) > 0 {
		c.batchSeq++
		c.inDelivery = make(map[counterID]int64, min(len(c.waiting), maxBatch))
		for id, n := range c.waiting {
			if len(c.inDelivery) == maxBatch {
				break
			}
			c.inDelivery[id] = n
			delete(c.waiting, id)
		}
	}
	keyNames, args = []string{c.keys.counted(c.process)}, []any{c.batchSeq}
	for id, n := range c.inDelivery {
		ids = append(ids, id)
		keyNames = append(keyNames, c.keys.counter(id.account, id.name))
		args = append(args, n)
	}
	return ids, keyNames, args
}

// setFailing logs the change from working to failing and back, not each try.
func (c *counters) setFailing(failing bool, err error) {
	c.mu.Lock()
	changed := c.failing != failing
	c.failing = failing
	c.mu.Unlock()
	switch {
	case changed && failing:
		c.log.Warn("counts wait for Redis", "error", err)
	case changed:
		c.log.Info("counts are delivered again")
	}
}

// logLost names every count that could not be delivered before the end, so an
// operator can add them by hand.
func (c *counters) logLost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, group := range []map[counterID]int64{c.waiting, c.inDelivery} {
		for id, n := range group {
			c.log.Error("count not delivered before the end", "account", id.account, "counter", id.name, "count", n)
		}
	}
}
