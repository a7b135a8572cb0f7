/*
 * From the queue to one effect: every event takes effect once, or is a dead letter.
 *
 * Read this beside messaging/consuming, workers/intake, workers/db/ingest/claims.py, workers/retain and
 * workers/reconcile. Two workers consume three events. Everything that can happen to an event can happen to A: its
 * webhook can be missed, and it can be published twice, put off, dead-lettered, replayed, reconciled and forgotten.
 * Events affect each other only among a worker's deliveries. There, B can be put off, and C is merely present. R is
 * the message of a replay that gives A its effect again. A set of messages is a bit mask; printed sets are in braces.
 * Only one assumption is about time: the retention period is longer than any message is under way.
 * Macros are replaced to insert a defect; cases.py describes them.
 */
#define A 1
#define B 2
#define C 4
#define R 8

/* RabbitMQ. */
byte ready = B | C, twice; /* in the events queue; a second copy there */
bool dead;                 /* A is in the dead-letter queue */
byte promised = B | C;     /* answered with 200, or published by reconcile or an operator */

/* messaging/consuming: the deliveries of each worker. */
byte held[2];              /* not acknowledged. Of these: */
byte put_off[2];           /* the handler failed; it is called again later */
byte begun[2];             /* only with a defect: between two transactions that should be one */
byte settled[2];           /* committed; they are acknowledged together */
byte refused[2];           /* committed as dead letters; they are rejected next */

/* The database. */
byte keys;                 /* the unique index of processed_events; R is A's key with the replay's generation */
byte effects;              /* events that took effect */
bool recorded;             /* the reason why A is a dead letter is recorded */
bool gap;                  /* reconcile has recorded that it published A */

/* workers/reconcile, omctl and workers/retain. */
bool occurred;             /* A is in the platform's history */
bool missing;              /* reconcile has found no trace of A */
bool republished;          /* reconcile has published A */
bool replaying;            /* a command has taken the dead letter, and has published its copy */
bool decided;              /* an operator has decided that A is to take effect again */
bool replayed;             /* A has taken effect again */
bool forgotten;            /* A's keys are deleted, long after A left the history that reconcile compares */
byte faults;
bool is_new;               /* used only within one step */

#define can_fail (faults < FAULTS)
#define under_way (ready | dead | replaying | held[0] | held[1])
#define nothing_is_lost assert(!(promised & ~(under_way | effects | (replayed -> R : 0) | (under_way & R -> A : 0))))

#ifndef is_compared
#define is_compared (occurred && !forgotten)
#endif
#ifndef keys_of_first_replay  /* a replay that comes before any other copy uses up both keys */
#define keys_of_first_replay (A | R)
#endif

inline publish(message) {
    twice = twice | (ready & (message)); ready = ready | (message); promised = promised | (message)
}

/* workers/db/ingest/claims.py: the unique index decides what is new. */
inline claim(message) {
    is_new = !(keys & message);
    keys = keys | (message == R && !(keys & A) -> keys_of_first_replay : message)
}

/* A replay gives A its effect once more, but only once. */
inline give_effect(message) {
    assert(!(effects & (message == R -> A : message)) || (message == R && !replayed));
    effects = effects | (message == R -> A : message); replayed = replayed | (message == R)
}

/* workers/intake: message m at worker w. Two workers that hold nothing are interchangeable. */
#define w (_pid % 2)
#define m (1 << (_pid / 2))
#define open (held[w] & m & ~(begun[w] | settled[w] | refused[w]))
active [8] proctype intake() {
    do
    :: d_step { (ready & m) && !(held[w] & m) && (w == 0 || held[0] || held[1]) -> held[w] = held[w] | m;
        if :: twice & m -> twice = twice & ~m :: else -> ready = ready & ~m fi;
        printf("> Worker %d gets {%d}.\n", w + 1, m) }
#if defined(CLAIM_OUTSIDE_TRANSACTION) || defined(CHECK_BEFORE_CLAIM)
    :: d_step { open ->
#ifdef CLAIM_OUTSIDE_TRANSACTION
        claim(m); printf("> Worker %d commits the key of {%d}.\n", w + 1, m);
#else
        is_new = !(keys & m); printf("> Worker %d looks for the key of {%d}.\n", w + 1, m);
#endif
        if :: is_new -> begun[w] = begun[w] | m :: else -> settled[w] = settled[w] | m fi;
        put_off[w] = put_off[w] & ~m; is_new = false }
    :: d_step { begun[w] & m -> begun[w] = begun[w] & ~m; settled[w] = settled[w] | m; keys = keys | m;
        printf("> Worker %d commits the effect of {%d}.\n", w + 1, m); give_effect(m) }
#else
    :: d_step { open -> claim(m); settled[w] = settled[w] | m; put_off[w] = put_off[w] & ~m;
        if
        :: is_new -> printf("> Worker %d commits {%d} with its effect.\n", w + 1, m); give_effect(m)
        :: else -> printf("> Worker %d finds the key of {%d} and gives no effect.\n", w + 1, m)
        fi; is_new = false }
#endif
    :: d_step { open && (m & (A | B)) && !(put_off[w] & m) -> put_off[w] = put_off[w] | m;
        printf("> The handler fails; worker %d puts {%d} off.\n", w + 1, m);
#ifdef RETRY_FROM_MEMORY
        held[w] = held[w] & ~m; nothing_is_lost
#endif
        }
    :: d_step { open && m == A -> refused[w] = refused[w] | m; put_off[w] = put_off[w] & ~m;
#ifndef REJECT_BEFORE_RECORD
        recorded = true; printf("> Worker %d commits the reason why {%d} is a dead letter.\n", w + 1, m)
#endif
        }
    :: d_step { refused[w] & m -> refused[w] = refused[w] & ~m; held[w] = held[w] & ~m; dead = true;
        printf("> Worker %d rejects {%d}.\n", w + 1, m); assert(recorded) }
    od
}

active [2] proctype worker() {
    do
    /* consuming/settling.py. */
#ifdef ACKNOWLEDGE_BEFORE_COMMIT
    :: d_step { held[w] -> printf("> Worker %d acknowledges {%d}.\n", w + 1, held[w]); held[w] = 0; nothing_is_lost }
#endif
    :: d_step { settled[w] -> printf("> Worker %d acknowledges {%d}.\n", w + 1, settled[w]);
#ifdef ACKNOWLEDGE_COVERS_PUT_OFF
        held[w] = held[w] & ~put_off[w]; put_off[w] = 0;
#endif
        held[w] = held[w] & ~settled[w]; settled[w] = 0; nothing_is_lost }
    :: d_step { can_fail && held[w] -> faults++; twice = twice | (ready & held[w]); ready = ready | held[w];
        held[w] = 0; put_off[w] = 0; begun[w] = 0; settled[w] = 0; refused[w] = 0;
        printf("> Worker %d is killed; the broker delivers again what it held.\n", w + 1); nothing_is_lost }
    od
}

active proctype edge() {
    do
    :: d_step { !occurred -> occurred = true; publish(A); printf("> The edge publishes {%d}.\n", A) }
    :: d_step { !occurred -> occurred = true; printf("> The webhook of {%d} is missed.\n", A) }
    :: d_step { can_fail && (promised & A) && !forgotten -> faults++; publish(A);
        printf("> The edge publishes {%d} again.\n", A) }
    od
}

/* Reconcile recognises a dead letter by the record of its reason, and a published gap by the record of the gap. */
active proctype reconcile() {
    do
    :: d_step { is_compared && !missing && !gap && !(keys & A) && !recorded -> missing = true;
        printf("> Reconcile finds no trace of {%d}.\n", A) }
    :: d_step { missing && !republished -> republished = true; publish(A); printf("> Reconcile publishes {%d}.\n", A) }
    :: d_step { republished -> gap = true; missing = false; republished = false; printf("> Reconcile records the gap.\n") }
    :: d_step { can_fail && missing -> faults++; missing = false; republished = false; printf("> Reconcile is killed.\n") }
    od
}

/* omctl/repair/dead_letter_windows.py: publish a copy of the dead letter, then remove it. */
active proctype operator() {
    do
#ifdef REPLAY_REMOVES_FIRST
    :: d_step { dead && !replaying -> dead = false; printf("> The operator's command removes {%d}.\n", A); nothing_is_lost }
#endif
    :: d_step { dead && !replaying -> dead = false; replaying = true; publish(A);
        printf("> An operator replays the dead letter {%d}.\n", A) }
    :: d_step { dead && !replaying && !decided -> dead = false; replaying = true; decided = true; publish(R);
        printf("> An operator replays the dead letter {%d}, to take effect again.\n", A) }
    :: d_step { replaying -> replaying = false; printf("> The dead letter is removed.\n"); nothing_is_lost }
    :: d_step { can_fail && replaying -> faults++; replaying = false; dead = true; printf("> The command is killed.\n") }
    :: d_step { (keys & A) && !decided -> decided = true; publish(R);
        printf("> An operator replays {%d}, to take effect again.\n", A) }
    od
}

active proctype retain() {
    do
    :: d_step { (keys & A) && !(under_way & (A | R)) && !missing -> keys = keys & ~(A | R); forgotten = true;
        printf("> The retention of {%d} is over.\n", A) }
    od
}
