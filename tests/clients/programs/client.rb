# client.rb CASE BASE TASK: sends requests with Ruby's Net::HTTP and Faraday.
require 'faraday'
require 'json'
require 'net/http'
require 'stringio'

name, base, task = ARGV
if name == 'versions'
  puts JSON.generate('ruby' => RUBY_VERSION, 'faraday' => Faraday::VERSION)
  exit
end

API = '/api/v1/faceflip'.freeze
request = { urls: ['https://example.com/a.jpg', 'https://example.com/b.jpg'], task_id: task, prompt: '换脸' }
body = JSON.generate(request)
uri = URI(base)
type = { 'Content-Type' => 'application/json' }
last = { 'Last-Event-ID' => '1700000000000-2' }

case name
when 'post'
  Net::HTTP.post(URI("#{base}#{API}/generate/stream"), body, type)
when 'chunked'
  Net::HTTP.start(uri.host, uri.port) do |http|
    post = Net::HTTP::Post.new("#{API}/generate/stream", type.merge('Transfer-Encoding' => 'chunked'))
    post.body_stream = StringIO.new(body)
    http.request(post)
  end
when 'resume'
  Net::HTTP.get(URI("#{base}#{API}/tasks/#{task}/stream"), last)
when 'twice'
  Net::HTTP.start(uri.host, uri.port) do |http|
    2.times { http.get("#{API}/queue") }
  end
when 'faraday-post'
  Faraday.post("#{base}#{API}/generate/stream", body, type)
else
  exit 2
end
