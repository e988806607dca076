# client.pl CASE BASE TASK: sends requests with Perl's HTTP::Tiny and LWP.
use strict;
use warnings;
use utf8;

use HTTP::Request;
use HTTP::Tiny;
use JSON::PP;
use LWP::UserAgent;

my ($case, $base, $task) = @ARGV;
if ($case eq 'versions') {
    print encode_json({ perl => sprintf('%vd', $^V), tiny => HTTP::Tiny->VERSION, lwp => LWP::UserAgent->VERSION }), "\n";
    exit;
}

my $api = "$base/api/v1/faceflip";
my $body = JSON::PP->new->utf8->canonical->encode({
    urls => ['https://example.com/a.jpg', 'https://example.com/b.jpg'], task_id => $task, prompt => '换脸' });
my @pieces = (substr($body, 0, 20), substr($body, 20));
my %type = ('Content-Type' => 'application/json');
my %last = ('Last-Event-ID' => '1700000000000-2');

my %cases = (
    'tiny-post' => sub { HTTP::Tiny->new->post("$api/generate/stream", { headers => \%type, content => $body }) },
    'tiny-chunked' => sub { HTTP::Tiny->new->post("$api/generate/stream", { headers => \%type, content => sub { shift @pieces } }) },
    'tiny-resume' => sub { HTTP::Tiny->new->get("$api/tasks/$task/stream", { headers => \%last }) },
    'tiny-twice' => sub { my $http = HTTP::Tiny->new; $http->get("$api/queue") for 1 .. 2 },
    'lwp-post' => sub { LWP::UserAgent->new->post("$api/generate/stream", %type, Content => $body) },
    'lwp-chunked' => sub {
        LWP::UserAgent->new->request(HTTP::Request->new(POST => "$api/generate/stream", [%type], sub { shift @pieces }));
    },
);
($cases{$case} or die "no case $case\n")->();
