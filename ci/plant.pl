#!/usr/bin/env perl
# Plants a fault into a copy of the sources: perl ci/plant.pl FAULT DIRECTORY
#
# FAULT is a file that says what is wrong, why, and what must notice:
#
#     Any lines: what the fault is, and what it leads to.
#     check: loom section::
#     @@ src/grace_period/engine.rs
#      a line that stands before it
#     -a line that is taken out
#     +a line that comes instead
#
# An edit is lines of the file as they stand, the marks ' ', '-' and '+' before them, without line numbers; how far
# they are indented does not count, nor do delays (src/sys/delay) between them. It has to fit in exactly one place: a fault that no longer fits is a failure, and to be
# written anew, not to be skipped. DIRECTORY is changed in place, so give it a copy. `check:` is for those who call this.
use strict;
use warnings;

my ($fault, $tree) = @ARGV;
die "usage: perl ci/plant.pl FAULT DIRECTORY\n" unless defined $tree && -f $fault && -d $tree;

my @edits;
open my $in, '<', $fault or die "$fault: $!\n";
while (my $line = <$in>) {
    chomp $line;
    if ($line =~ /^@@ (\S+)$/) {
        push @edits, { file => $1, lines => [] };
    } elsif (@edits && $line =~ /^([ +-])(.*)$/) {
        push @{ $edits[-1]{lines} }, [ $1, $2 ];
    } elsif (@edits && $line ne '') {
        die "$fault: neither an edit's line nor a file: $line\n";
    }
}
close $in;
die "$fault: no edit in it\n" unless @edits;

sub bare { my $text = shift; $text =~ s/^\s+|\s+$//g; return $text; }

for my $edit (@edits) {
    my $path = "$tree/$edit->{file}";
    open my $source, '<', $path or die "$fault: $edit->{file}: $!\n";
    chomp(my @have = <$source>);
    close $source;
    my @want = map { bare($_->[1]) } grep { $_->[0] ne '+' } @{ $edit->{lines} };
    die "$fault: an edit of $edit->{file} that looks for nothing\n" unless @want;
    # Where a delay may be put in is no matter of the fault, unless it says so.
    my $with_delays = grep { /delay::at/ } @want;
    my @lines = grep { $with_delays || $have[$_] !~ /^\s*delay::at\(/ } 0 .. $#have;
    my @places = grep {
        my $at = $_;
        !grep { bare($have[$lines[$at + $_]]) ne $want[$_] } 0 .. $#want;
    } 0 .. @lines - @want;
    die "$fault: fits in " . @places . " places of $edit->{file}, not in one\n" unless @places == 1;
    my $at = $places[0];
    my (%gone, %before);
    for my $line (@{ $edit->{lines} }) {
        my ($mark, $text) = @$line;
        if ($mark eq '+') {
            push @{ $before{ $at < @lines ? $lines[$at] : @have } }, $text;
            next;
        }
        $gone{ $lines[$at] } = 1 if $mark eq '-';
        $at++;
    }
    my @new;
    for my $at (0 .. @have) {
        push @new, @{ $before{$at} } if $before{$at};
        push @new, $have[$at] if $at < @have && !$gone{$at};
    }
    @have = @new;
    open my $out, '>', $path or die "$path: $!\n";
    print $out map { "$_\n" } @have;
    close $out or die "$path: $!\n";
}
