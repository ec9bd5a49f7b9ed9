// What all kernels of a selection share: parameters, the state of each row, and the choice of a threshold by counting.
//
// A selection finds, in every row, the k entries that come first by (key descending, index ascending). It streams over
// the row once against a threshold guessed from a sample, collects the few entries that reach it, in order of index, and
// puts these in order; docs/topK.md has the whole story. The kernels that stream (sample, count, mark, collect) belong to
// an operator, since each makes its keys in its own way; they declare bindings 1 to 3 as they like. Bindings 4 and 5 are
// the same in all of them.

const EIGHT: u32 = 8u;            // invocations per workgroup of the serial kernels: one or two subgroups of a CPU
const BINS: u32 = 2048u;          // values of one digit of a key: bits 31..21, 20..10 and 9..0
const STATE: u32 = 16u;           // words of state per row
const ALL: u32 = 0xffffffffu;
const BY_INDEX: u32 = 3u;         // the first level of a sort that orders by index

// The words of a row's state.
const THRESHOLD: u32 = 0u;        // entries with a larger key are all wanted,
const TIES: u32 = 1u;             // and so are this many entries that have this very key, by ascending index
const FOUND: u32 = 2u;            // how many entries that makes: candidates
const STATUS: u32 = 3u;           // what `decide` found: see below
const LAST_KEY: u32 = 4u;         // the last entry of the block of results before this one
const LAST_INDEX: u32 = 5u;
const LARGEST: u32 = 6u;          // the largest key among the candidates
const PICKED: u32 = 8u;           // (prefix, rank) after one and after two digits: by sample, then over the whole row

const READY: u32 = 1u;            // the candidates hold the k wanted entries and fit into their buffer
const RETRY: u32 = 2u;            // they do not: find the exact threshold and mark again

struct SelectParams {
  rows: u32,        // rows in this batch
  width: u32,       // rows that are neighbours: row = a * width + b
  length: u32,      // entries per row
  inner: u32,       // distance between neighbouring entries of a row
  k: u32,           // wanted per row, at least 1
  first: u32,       // the window of x that is bound: entries first .. first + count of every row of the batch;
  count: u32,
  origin: u32,      // where entry `first` of row 0 lies in it
  chunk: u32,       // entries per chunk
  chunks: u32,      // chunks per row: 1, or a multiple of 8
  words: u32,       // words of marks per row
  capacity: u32,    // candidates that fit per row
  sampleSize: u32,  // sampled entries per row; 0: the threshold is already in the state
  stride: u32,      // one entry out of so many is sampled
  rank: u32,        // the threshold is the rank-th largest key of the sample
  attempt: u32,     // 0: by the sample; 1: by counting the whole row, in rows that need it; 2: the same, in all rows
  level: u32,       // which digit
  parts: u32,       // parts per row that are sorted side by side: 1, or a multiple of 8
  largest: u32,     // 1: the largest values; 0: the smallest
  after: u32,       // 1: only entries that come after (LAST_KEY, LAST_INDEX)
  maskInner: u32,   // 0: no mask; 1: it stops at the axis; inner: it has the shape of x
  maskOrigin: u32,  // where the mask of entry `first` of row 0 lies in its window
  slots: u32,       // result slots per row,
  slot: u32,        // of which this block of results starts here
  fill: u32,        // and fills so many
  outOrigin: u32,   // where slot 0 of row 0 lies in the output windows, modulo 2^32
  outLength: u32,   // elements in the output windows
  countOrigin: u32, // where row 0 lies in the window of counts
  own: array<vec4u, 2>,   // for the operator
}

@group(0) @binding(0) var<uniform> params: SelectParams;
@group(0) @binding(4) var<storage, read_write> state: array<u32>;
@group(0) @binding(5) var<storage, read_write> digits: array<atomic<u32>>;   // [rows, 2 attempts, 3 levels, BINS]

/// An entry of the total order: larger keys first, then smaller indices.
fn comesBefore(key: u32, index: u32, otherKey: u32, otherIndex: u32) -> bool {
  return key > otherKey || (key == otherKey && index < otherIndex);
}

/// The digit of a key at a level.
fn digitOf(key: u32, level: u32) -> u32 {
  if (level == 0u) { return key >> 21u; }
  if (level == 1u) { return (key >> 10u) & 2047u; }
  return key & 1023u;
}

/// Does a key take part at a level: do its higher digits equal the prefix? Key 0 stands for "no entry".
fn hasPrefix(key: u32, prefix: u32, level: u32) -> bool {
  if (level == 0u) { return key != 0u; }
  return (key >> select(10u, 21u, level == 1u)) == (prefix >> select(10u, 21u, level == 1u));
}

fn digitPlace(row: u32, attempt: u32, level: u32) -> u32 {
  return ((row * 2u + min(attempt, 1u)) * 3u + level) * BINS;
}

/// One more digit of the rank-th largest key, from the counts at a level: (prefix with that digit, rank within it).
/// Rank 0 means that there are fewer entries than were asked for, and the prefix is then the smallest key.
fn pickDigit(row: u32, attempt: u32, level: u32, prefix: u32, rank: u32) -> vec2u {
  if (rank == 0u) { return vec2u(1u, 0u); }
  let place = digitPlace(row, attempt, level);
  var left = rank;
  for (var digit = select(BINS, 1024u, level == 2u); digit > 0u; digit--) {
    let here = atomicLoad(&digits[place + digit - 1u]);
    if (here >= left) {
      return vec2u(prefix | ((digit - 1u) << select(select(0u, 10u, level == 1u), 21u, level == 0u)), left);
    }
    left -= here;
  }
  return vec2u(1u, 0u);
}

/// (prefix, rank) before the digit of a level is picked: what was stored after the level before.
fn pickedBefore(row: u32, attempt: u32, level: u32) -> vec2u {
  if (level == 0u) { return vec2u(0u, select(params.rank, params.k, attempt > 0u)); }
  let place = row * STATE + PICKED + min(attempt, 1u) * 4u + (level - 1u) * 2u;
  return vec2u(state[place], state[place + 1u]);
}

/// (prefix, rank) with which a level counts; one invocation per row stores it for the level after.
fn pickBefore(row: u32, attempt: u32, level: u32, stores: bool) -> vec2u {
  if (level == 0u) { return pickedBefore(row, attempt, 0u); }
  let before = pickedBefore(row, attempt, level - 1u);
  let picked = pickDigit(row, attempt, level - 1u, before.x, before.y);
  if (stores) {
    let place = row * STATE + PICKED + min(attempt, 1u) * 4u + (level - 1u) * 2u;
    state[place] = picked.x;
    state[place + 1u] = picked.y;
  }
  return picked;
}

/// The threshold that the counts of all three levels give.
fn thresholdOf(row: u32, attempt: u32) -> u32 {
  let before = pickedBefore(row, attempt, 2u);
  return pickDigit(row, attempt, 2u, before.x, before.y).x;
}

struct Lane { row: u32, chunk: u32, works: bool }

/// What an invocation of a serial kernel owns. With one chunk per row, neighbours own neighbouring rows; otherwise a
/// workgroup belongs to one row.
fn laneOf(group: u32, local: u32, chunks: u32) -> Lane {
  if (chunks == 1u) {
    let row = group * EIGHT + local;
    return Lane(row, 0u, row < params.rows);
  }
  let row = rowOfGroup(group, chunks);
  return Lane(row, group % (chunks / EIGHT) * EIGHT + local, row < params.rows);
}

/// The row of a workgroup when rows have many chunks. Kept apart from `laneOf`, so that a compiler sees that it is the
/// same for the whole workgroup: a CPU then loads once for all invocations.
fn rowOfGroup(group: u32, chunks: u32) -> u32 { return group / (chunks / EIGHT); }
