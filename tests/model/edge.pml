/*
 * From a webhook to the queue: an event that was answered with 200 is never lost.
 *
 * Read this beside webhook_api/journal and webhook_api/relay. Two edge processes answer three events while three
 * faults strike. Every option of a loop is one step of one component, and Spin tries all orders of the steps. A set
 * of events is a bit mask; printed sets are in braces. An event moves through these sets of an edge process, and an
 * interruption moves it back to the first:
 *
 *     waiting -> published -> sent -> answered_once -> aged -> due -> its segment is unlinked
 * Three assumptions are about time: grace_is_over, is_polled and shows_majority. Replacing one of them with `true`
 * opens a window that docs/guarantees.md admits. A fourth assumption has no macro: RabbitMQ sends a node's pending
 * events to the new leader. Other macros are replaced to insert a defect; cases.py describes them all.
 * NODES is 1 or 3, and CONFIRMS turns publisher confirms on.
 */
#if NODES > 1 && !defined(CONFIRMS) && !defined(MAJORITY_TAKEN_FOR_GRANTED)
#define WATCHED
#define made 1
#define backing backed[p]
#else
#define made 2
#define backing due[p]
#endif

/* webhook_api/journal and webhook_api/relay: what each process has in its segments. */
byte waiting[2];        /* not published over the current connection */
byte published[2];      /* published, in the growing segment or a closed one */
byte sent[2];           /* in closed segments; the probe on its way covers them for the first time */
byte answered_once[2];  /* a probe that covered them was answered */
byte aged[2];           /* and the grace period after that answer is over */
byte due[2];            /* and the probe on its way was sent after that: its answer proves them */
byte backed[2];         /* aged or due, and a report that was asked for after the grace period showed a majority */
byte orphaned;          /* in the directories of dead processes */
byte answered;          /* 200 */

/* messaging/broker/publisher.py: the connection of each process. */
byte connection[2];     /* as the process sees it: 0 none, 1 waits for a report of a majority, 2 is published to */
bool broken[2];         /* the connection is gone, but the process has not noticed yet */
byte wire[2];           /* published, but not yet handled by the broker */
byte probe[2];          /* 0 none, 1 on its way to the broker, 2 its answer is on the way back */

/* RabbitMQ. */
byte enqueuer[2];       /* of each channel: 0 not registered yet, 1 registered, 2 failed: drops what is published */
byte leader;            /* in the memory of the queue's leader */
byte kept;              /* flushed by a majority of the queue's members */
bool majority = true;
bool routed = true;     /* an exchange takes the events */

byte faults, chosen, unlinked;  /* the last two are used only within one step */
byte stolen;            /* only with ADOPT_LIVE: in files of process 1, which is alive, that process 2 has adopted */
byte remembered[2];     /* only with PROOF_OUTLIVES_CONNECTION: answered once on an earlier connection */

#define p (_pid % 2)
#define own(i) (waiting[i] | published[i] | sent[i] | answered_once[i] | aged[i] | due[i])
#define lowest(events) ((events) & -(events))
#define can_fail (faults < FAULTS)
#define nothing_is_lost assert(!(answered & ~(own(0) | own(1) | orphaned | leader | kept)))

#ifndef grace_is_over   /* a queue that has a majority flushes an event within the grace period */
#define grace_is_over !(majority && (leader & answered_once[p]))
#endif
#ifndef is_polled       /* a loss of the majority lasts until both processes have seen it in a poll */
#define is_polled (connection[0] < 2 && connection[1] < 2)
#endif
#ifndef shows_majority  /* the edge polls the node to which it publishes */
#define shows_majority majority
#endif
#ifndef proven
#define proven (due[p] & backing)
#endif
#ifndef is_handled
#define is_handled !(wire[p] & sent[p])
#endif
#ifndef unpublished
#define unpublished waiting[p]
#endif
#ifndef unlinked_at_once
#define unlinked_at_once 0
#endif
#ifndef unwritten
#define unwritten 0     /* events that were answered with 200 even though they were not written */
#endif

/* relay/proof.py: return everything unproven to the waiting events. */
inline interrupt(i) {
#ifdef PROOF_OUTLIVES_CONNECTION
    remembered[i] = remembered[i] | answered_once[i] | aged[i] | due[i];
#endif
#ifdef NOTHING_IS_PUBLISHED_AGAIN
    published[i] = published[i] | sent[i]; aged[i] = aged[i] | due[i];
#else
    waiting[i] = own(i); published[i] = 0; answered_once[i] = 0; aged[i] = 0;
#endif
    sent[i] = 0; due[i] = 0; backed[i] = 0;
    connection[i] = 0; broken[i] = false; wire[i] = 0; probe[i] = 0; enqueuer[i] = 0
}

/* journal/process_directory.py. */
inline unlink(events) {
    unlinked = events;
    if
    :: unlinked ->
        printf("> Edge process %d unlinks the segment of {%d}.\n", p + 1, unlinked);
        published[p] = published[p] & ~unlinked; sent[p] = sent[p] & ~unlinked;
        aged[p] = aged[p] & ~unlinked; due[p] = due[p] & ~unlinked; backed[p] = backed[p] & ~unlinked;
#ifdef GROWING_SEGMENT_IS_UNLINKED
        published[p] = 0;
#endif
#ifdef ADOPT_LIVE
        if :: p == 1 && (unlinked & stolen) -> stolen = 0; published[0] = 0 :: else fi;
#endif
        nothing_is_lost;
#ifdef STRICT
        assert(!(unlinked & ~kept));
#endif
        unlinked = 0
    :: else
    fi
}

/* The processes are interchangeable, so the first event always comes to process 1. */
active [2] proctype edge() {
    do
    /* relay/relay.py, a turn of the loop: write the event to the journal, publish it if possible, and answer. */
    :: d_step { answered != (1 << EVENTS) - 1 && (answered || p == 0) ->
        chosen = answered + 1; answered = answered | chosen;
        printf("> Edge process %d writes {%d} to its journal and answers 200.\n", p + 1, chosen);
        if
        :: connection[p] == 2 -> published[p] = published[p] | chosen; wire[p] = wire[p] | (broken[p] -> 0 : chosen);
            printf("> Edge process %d publishes {%d}.\n", p + 1, chosen)
        :: else -> unpublished = unpublished | chosen
        fi; chosen = 0 }
    :: d_step { answered != (1 << EVENTS) - 1 && can_fail -> faults++; chosen = answered + 1;
        printf("> Edge process %d cannot write {%d}, and answers %d.\n", p + 1, chosen, (unwritten -> 200 : 503));
        answered = answered | unwritten; chosen = 0; nothing_is_lost }
    /* messaging/broker/publisher.py. */
    :: d_step { connection[p] == 0 -> connection[p] = made; printf("> Edge process %d connects.\n", p + 1) }
    /* relay/republisher.py. */
    :: d_step { connection[p] == 2 && waiting[p] -> chosen = waiting[p]; waiting[p] = 0;
        published[p] = published[p] | chosen; wire[p] = wire[p] | (broken[p] -> 0 : chosen);
        printf("> Edge process %d publishes {%d} from its journal.\n", p + 1, chosen); chosen = 0 }
#ifdef CONFIRMS
    /* relay/proof.py. A confirm is assumed to be true; tags, ranges and old connections are not modelled. */
    :: d_step { !broken[p] && (published[p] & kept & ~wire[p]) -> chosen = published[p] & kept & ~wire[p];
        printf("> The broker confirms {%d} to edge process %d.\n", chosen, p + 1); unlink(chosen); chosen = 0 }
#else
    /* relay/relay.py, a tick: close the growing segment; relay/link.py: one probe at a time. */
    :: d_step { connection[p] == 2 && probe[p] == 0 && (published[p] | aged[p]) -> probe[p] = 1;
        sent[p] = published[p]; published[p] = 0; due[p] = aged[p]; aged[p] = 0;
        printf("> Edge process %d sends a probe for {%d}.\n", p + 1, sent[p] | due[p]);
        unlink(unlinked_at_once) }
#ifdef GRACE_UNTIL_THE_ANSWER
    :: d_step { connection[p] == 2 && probe[p] == 0 && !published[p] && answered_once[p] -> probe[p] = 1;
        printf("> Edge process %d sends a probe for {%d}.\n", p + 1, answered_once[p]) }
#endif
    /* relay/proof.py. */
    :: d_step { probe[p] == 2 -> probe[p] = 0; printf("> The answer reaches edge process %d.\n", p + 1);
#ifdef GRACE_UNTIL_THE_ANSWER
        due[p] = due[p] | aged[p];
#endif
        unlink(proven);
        answered_once[p] = answered_once[p] | sent[p]; sent[p] = 0; aged[p] = aged[p] | due[p]; due[p] = 0 }
    :: d_step { answered_once[p] && grace_is_over -> aged[p] = aged[p] | answered_once[p];
        printf("> The grace period of {%d} is over.\n", answered_once[p]); answered_once[p] = 0 }
#endif
#ifdef WATCHED
    /* relay/majority.py takes a report. */
    :: d_step { connection[p] && shows_majority && (connection[p] == 1 || (aged[p] | due[p]) != backed[p]) ->
        connection[p] = 2; backed[p] = aged[p] | due[p];
        printf("> Edge process %d polls a node that shows a majority.\n", p + 1) }
    :: d_step { connection[p] == 2 && !majority -> interrupt(p);
        printf("> Edge process %d polls no majority and gives the connection up.\n", p + 1) }
#endif
    /* journal/process_directory.py: one rename moves one segment of a dead process. */
    :: d_step { orphaned -> chosen = lowest(orphaned); orphaned = orphaned & ~chosen; waiting[p] = waiting[p] | chosen;
        printf("> Edge process %d adopts the segment of {%d}.\n", p + 1, chosen); chosen = 0 }
#ifdef ADOPT_LIVE
    :: d_step { p == 1 && !stolen && own(0) -> stolen = own(0); waiting[1] = waiting[1] | stolen;
        printf("> Edge process 2 adopts {%d} of edge process 1, which lives.\n", stolen) }
#endif
    :: d_step { broken[p] -> interrupt(p); printf("> Edge process %d notices that its connection is gone.\n", p + 1) }
    :: d_step { can_fail && connection[p] && !broken[p] -> faults++; broken[p] = true; wire[p] = 0;
        printf("> The connection of edge process %d breaks.\n", p + 1) }
    /* Its successor starts at once; a dead process is one that takes no more steps. */
    :: d_step { can_fail && (own(p) || connection[p]) -> faults++; orphaned = orphaned | own(p); interrupt(p);
        waiting[p] = 0; published[p] = 0; answered_once[p] = 0; aged[p] = 0;
        printf("> Edge process %d is killed.\n", p + 1); nothing_is_lost }
    od
}

/* A channel handles publishes and probes in order. The probes are answered from the node's memory. */
active [2] proctype channel() {
    do
    :: d_step { wire[p] -> chosen = lowest(wire[p]); wire[p] = wire[p] & ~chosen;
        if :: enqueuer[p] == 0 -> enqueuer[p] = (majority -> 1 : 2) :: else fi;
        if
        :: !routed -> printf("> The broker returns {%d}: no exchange takes it.\n", chosen);
#ifndef RETURN_IS_IGNORED
            interrupt(p)
#endif
        :: routed && enqueuer[p] == 1 -> leader = leader | (chosen & ~kept);
            printf("> The queue's leader has {%d}.\n", chosen)
        :: else -> printf("> The broker drops {%d}: the channel could not register without a majority.\n", chosen)
        fi; chosen = 0 }
    :: d_step { probe[p] == 1 && !broken[p] && is_handled -> probe[p] = 2;
        printf("> The broker answers the probe of edge process %d.\n", p + 1) }
    od
}

/* The worst case: both processes are connected to the leader's node. Another node would resend unflushed events. */
active proctype queue() {
    do
    :: d_step { leader && majority -> kept = kept | leader; leader = 0; printf("> A majority flushes the events.\n") }
    :: d_step { can_fail && (leader || connection[0] || connection[1]) -> faults++; leader = 0; wire[0] = 0; wire[1] = 0;
        broken[0] = connection[0] != 0; broken[1] = connection[1] != 0;
        printf("> The queue's leader dies with what was not flushed.\n"); nothing_is_lost }
    :: d_step { can_fail && routed -> faults++; routed = false; printf("> The exchanges are deleted.\n") }
    :: d_step { !routed -> routed = true; printf("> The exchanges are declared again.\n") }
#if NODES > 1
    :: d_step { can_fail && majority -> faults++; majority = false; printf("> The queue loses its majority.\n") }
    :: d_step { !majority && leader -> leader = 0;
        printf("> The queue loses what its leader could not flush.\n"); nothing_is_lost }
    :: d_step { !majority && is_polled -> majority = true; printf("> The queue has its majority again.\n") }
#endif
    od
}
