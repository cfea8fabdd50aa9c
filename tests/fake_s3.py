"""A storage that speaks the part of S3 that backups need, and verifies the signature of each request."""
import datetime
import hashlib
import hmac
import http.server
import re
import threading
import urllib.parse
import xml.sax.saxutils

ACCESS_KEY = "AKIDTEST"
SECRET_KEY = "secret/of+the test"
REGION = "test-region-1"


def quote(text, safe=""):
    return urllib.parse.quote(text, safe="-._~" + safe)


def signature(method, path, query, headers, names, day):
    """By the documentation of Amazon, and by none of the code that is tested."""
    canonical = "\n".join([
        method, quote(path, "/"),
        "&".join(f"{quote(k)}={quote(v)}" for k, v in sorted(query)),
        "".join(f"{name}:{headers[name].strip()}\n" for name in names), ";".join(names),
        headers["x-amz-content-sha256"]])
    scope = f"{day}/{REGION}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope,
                         hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET_KEY).encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


class FakeS3:
    """`objects` by bucket/key. `fail` is asked for each request, and may give a status to answer with."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.objects = {}
        self.uploads = {}
        self.requests = []
        self.refused = []
        self.largest = 0
        self.fail = lambda method, path, query: None
        self.keep = lambda content: content  # what is kept of an upload
        self.lock = threading.Lock()
        storage = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_one(self):
                storage.serve(self)

            do_GET = do_PUT = do_POST = do_DELETE = handle_one

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def check(self, handler, path, query, body):
        """What is wrong with the signature; None if nothing is."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
                             r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
                             headers.get("authorization", ""))
        if match is None:
            return "no authorization"
        key, day, region, names, given = match.groups()
        names = names.split(";")
        if key != ACCESS_KEY or region != REGION:
            return "another key or region"
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names) or names != sorted(names):
            return "unsigned headers"
        if headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
            return "another body"
        made = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        if abs((datetime.datetime.utcnow() - made).total_seconds()) > 900:
            return "another time"
        if signature(handler.command, path, query, headers, names, day) != given:
            return "SignatureDoesNotMatch"
        return None

    def serve(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        path = urllib.parse.unquote(url.path)
        query = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        with self.lock:
            self.requests.append((handler.command, path, dict(query)))
            self.largest = max(self.largest, len(body))
            wrong = self.check(handler, path, query, body)
            status = self.fail(handler.command, path, dict(query))
            if wrong is not None:
                self.refused.append(wrong)
                answer = (403, self.error("AccessDenied", wrong), {})
            elif status is not None:
                answer = (status, self.error("InternalError", "try again"), {})
            else:
                answer = self.act(handler.command, path, dict(query), body)
        code, text, headers = answer
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    @staticmethod
    def error(code, message):
        return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()

    def act(self, method, path, query, body):
        bucket, _, key = path[1:].partition("/")
        if bucket != self.bucket:
            return 404, self.error("NoSuchBucket", bucket), {}
        if method == "GET" and not key:
            return 200, self.listing(query), {}
        if method == "GET":
            if key not in self.objects:
                return 404, self.error("NoSuchKey", key), {}
            return 200, self.objects[key], {}
        if method == "POST" and "uploads" in query:
            upload = f"up/load={len(self.uploads)}"
            self.uploads[upload] = (key, {})
            return 200, f"<R><UploadId>{upload}</UploadId></R>".encode(), {}
        if "uploadId" in query and query["uploadId"] not in self.uploads:
            return 404, self.error("NoSuchUpload", query["uploadId"]), {}
        if method == "PUT" and "uploadId" in query:
            tag = f'"{hashlib.md5(body).hexdigest()}"'
            self.uploads[query["uploadId"]][1][int(query["partNumber"])] = (tag, body)
            return 200, b"", {"ETag": tag}
        if method == "POST":
            return self.complete(query["uploadId"], key, body)
        if method == "DELETE" and "uploadId" in query:
            del self.uploads[query["uploadId"]]
            return 204, b"", {}
        if method == "DELETE":
            self.objects.pop(key, None)
            return 204, b"", {}
        self.objects[key] = body
        return 200, b"", {"ETag": '"x"'}

    def complete(self, upload, key, body):
        parts = self.uploads[upload][1]
        wanted = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag>", body.decode())
        if [(str(n), parts[n][0]) for n in sorted(parts)] != wanted:
            return 400, self.error("InvalidPart", "other parts"), {}
        sizes = [len(parts[n][1]) for n in sorted(parts)]
        if any(size < 5 << 20 for size in sizes[:-1]):
            return 400, self.error("EntityTooSmall", "a part"), {}
        self.objects[key] = self.keep(b"".join(parts[n][1] for n in sorted(parts)))
        del self.uploads[upload]
        return 200, b"<CompleteMultipartUploadResult/>", {}

    def listing(self, query):
        keys = sorted(key for key in self.objects if key.startswith(query.get("prefix", "")))
        begin = int(query.get("continuation-token", "0"))
        page = keys[begin:begin + 3]
        more = begin + 3 < len(keys)
        items = "".join(f"<Contents><Key>{xml.sax.saxutils.escape(key)}</Key></Contents>" for key in page)
        token = f"<NextContinuationToken>{begin + 3}</NextContinuationToken>" if more else ""
        return f"<ListBucketResult>{items}{token}</ListBucketResult>".encode()
