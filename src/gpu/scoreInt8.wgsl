// scoreInt8: inner products of rows of signed bytes, four per word. Each invocation owns a row and scores it for four queries, so
// that a word of the row is read and unpacked once. Integers do not round, so the order of the sum is free.
// @uses lib/grid.wgsl

override WORKGROUP_SIZE: u32 = 64u;
const QUERIES = 4u;
const MOST_WORDS = 256u;

struct Params { queries: u32, rows: u32, words: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<u32>;          // [queries, words]
@group(0) @binding(2) var<storage, read> queryScales: array<f32>;      // [queries]
@group(0) @binding(3) var<storage, read> codes: array<u32>;            // [rows, words]
@group(0) @binding(4) var<storage, read> scales: array<f32>;           // [rows]
@group(0) @binding(5) var<storage, read_write> scores: array<f32>;     // [queries, rows]

fn unpack(word: u32) -> vec4i {
  let bits = bitcast<vec4i>(vec4u(word << 24u, word << 16u, word << 8u, word));
  return bits >> vec4u(24u);   // arithmetic: the sign comes along
}

fn dot4(a: vec4i, b: vec4i) -> i32 {
  let products = a * b;
  return products.x + products.y + products.z + products.w;
}

fn put(query: u32, row: u32, sum: i32) {
  if (query < params.queries) { scores[query * params.rows + row] = f32(sum) * scales[row] * queryScales[query]; }
}

/// The words of a query have the same address for the whole workgroup. Queries beyond the end repeat the last one.
@compute @workgroup_size(WORKGROUP_SIZE)
fn scoreInt8(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
             @builtin(local_invocation_index) local: u32) {
  let across = (params.rows + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
  let id = linearGroup(group, groups);
  let first = id / across * QUERIES;
  let row = id % across * WORKGROUP_SIZE + local;
  if (first >= params.queries || row >= params.rows) { return; }
  let last = params.queries - 1u;
  let base = vec4u(first, min(first + 1u, last), min(first + 2u, last), min(first + 3u, last)) * params.words;
  var sums = vec4i();
  for (var w = 0u; w < params.words; w++) {
    let own = unpack(codes[row * params.words + w]);
    sums += vec4i(dot4(own, unpack(queries[base.x + w])), dot4(own, unpack(queries[base.y + w])),
                  dot4(own, unpack(queries[base.z + w])), dot4(own, unpack(queries[base.w + w])));
  }
  put(first, row, sums.x);
  put(first + 1u, row, sums.y);
  put(first + 2u, row, sums.z);
  put(first + 3u, row, sums.w);
}

var<workgroup> shared_words: array<u32, QUERIES * MOST_WORDS>;

/// The workgroup reads its four queries once; unpacked words are 0 beyond the last query.
@compute @workgroup_size(WORKGROUP_SIZE)
fn scoreInt8Tiles(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
                  @builtin(local_invocation_index) local: u32) {
  let across = (params.rows + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
  let id = linearGroup(group, groups);
  let first = id / across * QUERIES;
  let row = id % across * WORKGROUP_SIZE + local;
  if (first >= params.queries) { return; }   // the same for the whole workgroup
  for (var at = local; at < QUERIES * params.words; at += WORKGROUP_SIZE) {
    let query = first + at / params.words;
    shared_words[at] = select(0u, queries[min(query, params.queries - 1u) * params.words + at % params.words], query < params.queries);
  }
  workgroupBarrier();
  if (row >= params.rows) { return; }
  var sums = vec4i();
  for (var w = 0u; w < params.words; w++) {
    let own = unpack(codes[row * params.words + w]);
    sums += vec4i(dot4(own, unpack(shared_words[w])), dot4(own, unpack(shared_words[params.words + w])),
                  dot4(own, unpack(shared_words[2u * params.words + w])), dot4(own, unpack(shared_words[3u * params.words + w])));
  }
  put(first, row, sums.x);
  put(first + 1u, row, sums.y);
  put(first + 2u, row, sums.z);
  put(first + 3u, row, sums.w);
}
