// A question whose answer the host knows, asked once when an adapter is opened.

struct KnownAnswerParams { count: u32 }

@group(0) @binding(0) var<uniform> knownAnswerParams: KnownAnswerParams;
@group(0) @binding(1) var<storage, read> question: array<u32>;
@group(0) @binding(2) var<storage, read_write> answer: array<u32>;

@compute @workgroup_size(64)
fn knownAnswer(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= knownAnswerParams.count) { return; }
  answer[i] = question[i] * 747796405u + i;
}
