<?php
// client.php CASE BASE TASK: sends requests with PHP's stream wrapper, its curl extension and Guzzle.
[, $case] = $argv;
$base = $argv[2] ?? '';
$task = $argv[3] ?? '';
$api = "$base/api/v1/faceflip";
$request = ['urls' => ['https://example.com/a.jpg', 'https://example.com/b.jpg'], 'task_id' => $task, 'prompt' => '换脸'];
$body = json_encode($request);

function by_stream(string $url, array $options): void
{
    file_get_contents($url, false, stream_context_create(['http' => ['ignore_errors' => true] + $options]));
}

function by_curl(array $options): void
{
    $curl = curl_init();
    curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true] + $options);
    curl_exec($curl);
    curl_close($curl);
}

function guzzle(): GuzzleHttp\Client
{
    require '/usr/share/php/GuzzleHttp/autoload.php';
    return new GuzzleHttp\Client();
}

match ($case) {
    'versions' => print(json_encode(['php' => PHP_VERSION, 'libcurl' => curl_version()['version'],
                                     'guzzle' => (guzzle() ? GuzzleHttp\ClientInterface::MAJOR_VERSION : '') . '']) . "\n"),
    'stream-post' => by_stream("$api/generate/stream", ['method' => 'POST', 'header' => 'Content-Type: application/json', 'content' => $body]),
    'stream-1.0-post' => by_stream("$api/generate/stream", ['method' => 'POST', 'header' => 'Content-Type: application/json', 'content' => $body,
                                                             'protocol_version' => 1.0]),
    'stream-resume' => by_stream("$api/tasks/$task/stream", ['header' => "Last-Event-ID: 1700000000000-2\r\n"]),
    'curl-post' => by_curl([CURLOPT_URL => "$api/generate/stream", CURLOPT_POSTFIELDS => $body,
                            CURLOPT_HTTPHEADER => ['Content-Type: application/json']]),
    'guzzle-post' => guzzle()->post("$api/generate/stream", ['json' => $request]),
    'guzzle-chunked' => guzzle()->post("$api/generate/stream", ['headers' => ['Content-Type' => 'application/json'],
        'body' => new GuzzleHttp\Psr7\PumpStream((function () use ($body) {
            $left = [substr($body, 0, 20), substr($body, 20)];
            return function () use (&$left) { return array_shift($left) ?? false; };
        })())]),
};
