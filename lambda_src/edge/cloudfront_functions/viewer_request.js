// Viewer request → redirect, rewritten URI, checked token, and a cache key with nothing in it but what matters.
//
// Items of the key value store: "/old" → where that path redirects to; "key:ID" → a secret that signs tokens.
import cf from 'cloudfront';
import crypto from 'crypto';

const store = cf.kvs();
const LANGUAGES = ['de', 'fr'];
const PARAMETERS = ['currency', 'page'];

async function handler(event) {
  const request = event.request;
  if (await store.exists(request.uri)) return redirect(await store.get(request.uri));
  if (request.uri.startsWith('/private/') && !(await isSigned(request))) {
    return { statusCode: 403, statusDescription: 'Forbidden', headers: { 'cache-control': { value: 'no-store' } } };
  }
  if (request.uri.endsWith('/')) request.uri += 'index.html';
  normalise(request);
  return request;
}

function redirect(target) {
  const headers = { location: { value: target }, 'cache-control': { value: 'max-age=60' } };
  return { statusCode: 301, statusDescription: 'Moved Permanently', headers };
}

// Known parameters in one order and spelling; the language instead of what browsers say about languages.
function normalise(request) {
  const kept = {};
  for (const name of PARAMETERS) {
    const given = request.querystring[name];
    if (given && given.value) kept[name] = { value: given.value.toLowerCase() };
  }
  request.querystring = kept;
  const accepted = request.headers['accept-language'];
  const first = accepted ? accepted.value.trim().slice(0, 2).toLowerCase() : '';
  request.headers['accept-language'] = { value: LANGUAGES.includes(first) ? first : 'en' };
}

// token=ID.EXPIRES.SIGNATURE: base64url of the HMAC-SHA256 of the path and EXPIRES (seconds since 1970).
async function isSigned(request) {
  const given = request.querystring.token;
  const parts = given ? given.value.split('.') : [];
  if (parts.length !== 3 || !/^\d{1,12}$/.test(parts[1])) return false;
  if (Number(parts[1]) * 1000 <= Date.now()) return false;
  if (!(await store.exists('key:' + parts[0]))) return false;
  const secret = await store.get('key:' + parts[0]);
  const expected = crypto.createHmac('sha256', secret).update(request.uri + '\n' + parts[1]).digest('base64url');
  return isSame(expected, parts[2]);
}

// As long for a wrong first character as for a wrong last one.
function isSame(expected, given) {
  let different = expected.length ^ given.length;
  for (let i = 0; i < expected.length; i += 1) different |= expected.charCodeAt(i) ^ given.charCodeAt(i);
  return different === 0;
}
