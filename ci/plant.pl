#!/usr/bin/env perl
# Plants a fault into a copy of the sources: perl ci/plant.pl FAULT DIRECTORY
#
# FAULT is a file that says what is wrong, and has the edits that make it so:
#
#     Lines of text: what the fault is, and what it leads to.
#     check: loom section::
#     @@ src/reader/record.rs
#      a line that stands before
#     -a line that is taken out
#     +a line that replaces it
#
# An edit has lines of the file, with the marks ' ', '-' and '+' before them, without line numbers.
# Indentation does not count, and neither do calls of `delay::at` between the lines. An edit must
# fit in exactly one place. A fault that no longer fits is a failure: write it again, and do not
# skip it. The script changes DIRECTORY in place, so give it a copy. ci/faults.sh reads `check:` and
# the other lines at the head.
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
        die "$fault: this line belongs to no edit, and names no file: $line\n";
    }
}
close $in;
die "$fault: the fault has no edit\n" unless @edits;

sub bare { my $text = shift; $text =~ s/^\s+|\s+$//g; return $text; }

for my $edit (@edits) {
    my $path = "$tree/$edit->{file}";
    open my $source, '<', $path or die "$fault: $edit->{file}: $!\n";
    chomp(my @have = <$source>);
    close $source;
    my @want = map { bare($_->[1]) } grep { $_->[0] ne '+' } @{ $edit->{lines} };
    die "$fault: an edit of $edit->{file} has no line to look for\n" unless @want;
    # Delays do not matter, unless the edit has one itself.
    my $with_delays = grep { /delay::at/ } @want;
    my @lines = grep { $with_delays || $have[$_] !~ /^\s*delay::at\(/ } 0 .. $#have;
    my @places = grep {
        my $at = $_;
        !grep { bare($have[$lines[$at + $_]]) ne $want[$_] } 0 .. $#want;
    } 0 .. @lines - @want;
    die "$fault: an edit of $edit->{file} fits in " . @places . " places, not in one\n"
        unless @places == 1;
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
