// Run by Deno, whose WebGPU is wgpu: compiles every WGSL text it is given (JSON on stdin: {name: source}) with naga and
// prints {name: first error or null} as JSON.
const files = JSON.parse(await new Response(Deno.stdin.readable).text());
const adapter = await navigator.gpu?.requestAdapter();
if (!adapter) {
  console.log(JSON.stringify({ adapter: 'wgpu found no adapter' }));
  Deno.exit(0);
}
const device = await adapter.requestDevice();
const results = {};
for (const [name, code] of Object.entries(files)) {
  device.pushErrorScope('validation');
  device.createShaderModule({ code });
  const error = await device.popErrorScope();
  results[name] = error === null ? null : error.message.split('\n').slice(0, 12).join('\n');
}
console.log(JSON.stringify(results));
Deno.exit(0);
