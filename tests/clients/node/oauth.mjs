// The token service as other people's clients see it; prints one JSON value.
// oauth.mjs ISSUER KEY_ID KEY BOUND_ID HOLDER_JWK

import * as dpop from "dpop";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";

const [issuer, keyId, key, boundId, holderText] = process.argv.slice(2);
const insecure = { [oauth.allowInsecureRequests]: true };
const body = JSON.stringify({
  model: "gpt-5-mini",
  max_completion_tokens: 50,
  messages: [{ role: "user", content: "hi" }],
});
const headers = new Headers({ "content-type": "application/json" });
const api = new URL("/v1/chat/completions", issuer);
const said = { nonces: 0 };

async function imported(text, algorithm) {
  const { d, ...shown } = JSON.parse(text);
  const take = (jwk, use) => crypto.subtle.importKey("jwk", jwk, algorithm, true, [use]);
  return { privateKey: await take({ ...shown, d }, "sign"), publicKey: await take(shown, "verify") };
}

async function twice(run) {
  try {
    return await run();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    said.nonces += 1;
    return run();
  }
}

async function withOauth4webapi() {
  const url = new URL(issuer);
  const found = await oauth.discoveryRequest(url, { algorithm: "oauth2", ...insecure });
  const server = await oauth.processDiscoveryResponse(url, found);
  const client = { client_id: keyId };
  const auth = oauth.ClientSecretBasic(key);
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));
  const options = { DPoP, ...insecure };

  const ask = async () =>
    oauth.processClientCredentialsResponse(
      server,
      client,
      await oauth.clientCredentialsGrantRequest(
        server, client, auth, { scope: "offline_access model:gpt-*" }, options,
      ),
    );
  const call = async (token) =>
    oauth.protectedResourceRequest(token, "POST", api, new Headers(headers), body, options);
  const refresh = async (token) =>
    oauth.processRefreshTokenResponse(
      server,
      client,
      await oauth.refreshTokenGrantRequest(server, client, oauth.None(), token, options),
    );

  const first = await twice(ask);
  const answer = await twice(() => call(first.access_token));
  said.called = [answer.status, (await answer.json()).choices.length];
  const second = await twice(() => refresh(first.refresh_token));
  const about = async (token) =>
    oauth.processIntrospectionResponse(
      server,
      client,
      await oauth.introspectionRequest(server, client, auth, token, insecure),
    );
  said.introspected = await about(second.access_token);
  said.type = second.token_type;
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(server, client, auth, second.refresh_token, insecure),
  );
  said.revoked = [(await about(second.access_token)).active];
  await call(second.access_token).catch((error) => {
    said.revoked.push(error.status, error.cause[0].parameters.error);
  });

  const validated = await oauth.validateJwtAccessToken(
    server,
    new Request(api, { method: "POST", headers: await signed(first.access_token, DPoP) }),
    issuer,
    { requireDPoP: true, ...insecure },
  ).catch((error) => ({ error: `${error.message} ${error.cause ?? ""}` }));
  said.validated = validated.error ?? [validated.sub === keyId, Object.keys(validated.cnf)];
  const resource = await oauth.resourceDiscoveryRequest(url, insecure);
  said.resource = (await oauth.processResourceDiscoveryResponse(url, resource)).resource === issuer;
}

async function signed(token, DPoP) {
  const all = new Headers({ authorization: `DPoP ${token}` });
  await DPoP.addProof(api, all, "POST", token);
  return all;
}

async function withOpenidClient() {
  const pair = await imported(holderText, { name: "ECDSA", namedCurve: "P-256" });
  const options = { execute: [openid.allowInsecureRequests], algorithm: "oauth2" };
  const auth = openid.PrivateKeyJwt(pair.privateKey);
  const config = await openid.discovery(new URL(issuer), boundId, undefined, auth, options);
  const DPoP = openid.getDPoPHandle(config, pair);
  const first = await openid.clientCredentialsGrant(config, { scope: "offline_access" }, { DPoP });
  const call = (token, handle) =>
    openid.fetchProtectedResource(config, token, api, "POST", body, new Headers(headers), { DPoP: handle });
  said.bound = [(await call(first.access_token, DPoP)).status];
  const second = await openid.refreshTokenGrant(config, first.refresh_token, {}, { DPoP });
  said.bound.push((await call(second.access_token, DPoP)).status);
  await openid.refreshTokenGrant(config, first.refresh_token, {}, { DPoP }).catch((error) => said.bound.push(error.error));
  await call(second.access_token, DPoP).catch((error) => said.bound.push(error.status));

  const edwards = await openid.randomDPoPKeyPair("Ed25519");
  const plain = await openid.discovery(new URL(issuer), keyId, key, openid.ClientSecretPost(key), options);
  const handle = openid.getDPoPHandle(plain, edwards);
  const token = await openid.clientCredentialsGrant(plain, {}, { DPoP: handle });
  const answer = await openid.fetchProtectedResource(
    plain, token.access_token, api, "POST", body, new Headers(headers), { DPoP: handle },
  );
  said.ed25519 = answer.status;
  said.thumbprint = (await openid.tokenIntrospection(plain, token.access_token)).cnf.jkt
    === (await dpop.calculateThumbprint(edwards.publicKey));
  return token.access_token;
}

async function withDpop(stolen) {
  const pair = await dpop.generateKeyPair("ES256");
  const ask = async (nonce) =>
    fetch(api, {
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        authorization: `DPoP ${stolen}`,
        dpop: await dpop.generateProof(pair, api.href, "POST", nonce, stolen),
      },
    });
  const nonce = (await ask()).headers.get("dpop-nonce");
  const answer = await ask(nonce);
  said.stolen = [answer.status, (await answer.json()).error.code];
}

await withOauth4webapi();
await withDpop(await withOpenidClient());
console.log(JSON.stringify(said));
